"""Decoder layers through torch.compile: it joins norms, rotations, SwiGLU and adapters' sums into few kernels on a GPU.

Layers are compiled, not the model: attention over the flat layout is a call that the compiler leaves out, and gradient
checkpointing wraps the layer from outside.  All layers of a model share one compilation, and the number of tokens is left
open, so batches of all lengths do too.

The plain twin is the layer as it is: without `compile_layers`, nothing changes.
"""

from collections.abc import Callable

from torch import Tensor, nn

from autotrain.models.precision import compute_dtype
from autotrain.models.probe import FOREIGN_FAILURES, TOLERANCE, relative_error

_BACKEND = "inductor"
# Compiled code rounds at other places than plain code does, which rounds at others than exact code would.
_ROOM = 2


def compile_checked(body: nn.Module, hidden: Callable[[], Tensor]) -> str:
    """Compile the layers of `body` and compare.  Returns "", or why they can't be compiled; then they are as they were.

    hidden: what the body makes of some text, (N, H); called before and after.
    """
    before = hidden()
    try:
        if not compile_layers(body):
            return "its decoder layers couldn't be found"
        error = relative_error(hidden(), before)
    except (*FOREIGN_FAILURES, OSError, ImportError) as failure:
        leave_uncompiled(body)
        cause = getattr(failure, "inner_exception", failure)  # of torch's BackendCompilerFailed
        return f"{type(cause).__name__}: {str(cause).strip().partition(chr(10))[0][:160]}"
    if error <= _ROOM * TOLERANCE[compute_dtype(before)]:
        return ""
    leave_uncompiled(body)
    return f"hidden states differ by {error:.1e}"


def compile_layers(body: nn.Module, backend: str | None = None) -> int:
    """Have each decoder layer of `body` compiled at its first use.  Returns how many there are; 0 where none was found.

    body: what makes hidden states, with its decoder layers in a list named `layers` or `h`.
    """
    layers = _layers(body)
    for layer in layers:
        layer.compile(backend=backend or _BACKEND, dynamic=True)
    return len(layers)


def leave_uncompiled(body: nn.Module) -> None:
    """The layers as they were."""
    for layer in _layers(body):
        layer._compiled_call_impl = None  # pyright: ignore[reportPrivateUsage]


def _layers(body: nn.Module) -> list[nn.Module]:
    lists = [child for name, child in body.named_children() if name in ("layers", "h") and isinstance(child, nn.ModuleList)]
    return [layer for found in lists for layer in found]
