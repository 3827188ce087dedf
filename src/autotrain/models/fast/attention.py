"""Attention of a forest as one kernel (kernels/attention.cpp), forward and backward: for processors.

torch's own attention is slow on short texts there, and knows no branches.  The kernel keeps nothing for the backward pass
but each query's sum of exponentials, so what is kept grows with the tokens and not with their square.

Legend: N tokens, Q query heads, K key heads, D head size.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from autotrain.models.kernels import ops
from autotrain.models.kernels.tiles import Heads
from autotrain.models.layout import Layout
from autotrain.models.precision import compute_dtype


def can_attend(query: Tensor, num_keys: int, scale: float) -> bool:
    """Whether there is a kernel for such values; without one, torch's attention is faster than the kernel's twin.

    query: (1, Q, N, D).  num_keys: K.
    """
    return query.shape[1] % num_keys == 0 and scale > 0 and ops.has_attention(query.device, compute_dtype(query))


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: Heads) -> tuple[Tensor, Tensor]:
    """(N, Q * D), and the sums of exponentials for `attend_backward`.  query: (N, Q * D).  key, value: (N, K * D).

    Tokens that the layout doesn't name attend to nothing: their rows are zero.
    """
    if len(query) < layout.num_tokens:
        raise ValueError(f"{len(query)} tokens, and a layout of {layout.num_tokens}")
    return ops.attention(query, key, value, layout.tiles(heads.window, heads.num_keys), heads)


def attend_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, sums: Tensor, layout: Layout, heads: Heads
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value from that of the output, grad: (N, Q * D).  output, sums: what `attend` returned."""
    tiles = layout.tiles(heads.window, heads.num_keys)
    return ops.attention_backward(grad, query, key, value, output, sums, tiles, heads)


class ForestAttention(torch.autograd.Function):
    """`attend` for autograd."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: Heads) -> Tensor:
        output, sums = attend(query, key, value, layout, heads)
        ctx.save_for_backward(query, key, value, output, sums)
        ctx.layout, ctx.heads = layout, heads
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, output, sums = ctx.saved_tensors
        gradients = attend_backward(grad_outputs[0], query, key, value, output, sums, ctx.layout, ctx.heads)
        return (*gradients, None, None)
