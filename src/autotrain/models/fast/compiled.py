"""Decoder layers through torch.compile: it joins norms, rotations, SwiGLU and adapters' sums into few kernels on a GPU.

Layers are compiled, not the model: attention over the flat layout is a call that the compiler leaves out, and gradient
checkpointing wraps the layer from outside.  All layers of a model share one compilation, and the number of tokens is left
open, so batches of all lengths do too.

The plain twin is the layer as it is: without `compile_layers`, nothing changes.
"""

from torch import nn


def compile_layers(body: nn.Module, backend: str = "inductor") -> int:
    """Have each decoder layer of `body` compiled at its first use.  Returns how many there are; 0 where none was found.

    body: what makes hidden states, with its decoder layers in a list named `layers` or `h`.
    """
    lists = [child for name, child in body.named_children() if name in ("layers", "h") and isinstance(child, nn.ModuleList)]
    layers = [layer for found in lists for layer in found]
    for layer in layers:
        layer.compile(backend=backend, dynamic=True)
    return len(layers)
