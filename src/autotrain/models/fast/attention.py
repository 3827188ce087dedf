"""Attention of a forest by batched matrix products over blocks of queries: fast on processors, and made again going back.

torch's own attention is slow on short texts there.  Here the queries that share a key head lie under each other in one
product, a block of queries sees only the keys up to its last one, and blocks of one size are computed together.
Probabilities of blocks that see few keys are kept for the backward pass, others made again, so that what is kept grows
with the tokens and not with their square.

Legend: N tokens, Q query heads, K key heads, G = Q / K, D head size; B blocks of a group, L queries and C keys of each.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from autotrain.models.fast.blocks import KEPT_KEYS, Blocks
from autotrain.models.kernels import ops
from autotrain.models.layout import Layout

# What the sizes of blocks are filled up to: in float32 what is computed for nothing costs more than another shape.
_MULTIPLES = MappingProxyType({torch.bfloat16: 64, torch.float32: 32})


@dataclass(frozen=True)
class Heads:
    """Numbers of query and key heads, what scores are multiplied by, and how many positions back a query sees."""

    num_queries: int
    num_keys: int
    scale: float
    window: int | None = None


def can_attend(query: Tensor) -> bool:
    """Whether blocks serve these values: on a processor, of a type that products are fast in."""
    return query.device.type == "cpu" and query.dtype in _MULTIPLES


Kept = list[Tensor | None]  # probabilities (B * K, G * L, C) of each group of blocks, None where they are made again


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: Heads, kept: Kept | None = None) -> Tensor:
    """(N, Q * D).  query: (N, Q * D).  key, value: (N, K * D).  kept: is filled for `attend_backward`.

    Tokens that the layout doesn't name attend to nothing: their rows are zero.
    """
    if len(query) < layout.num_tokens:
        raise ValueError(f"{len(query)} tokens, and a layout of {layout.num_tokens}")
    output = query.new_zeros(len(query), value.shape[1] // heads.num_keys * heads.num_queries)
    for blocks in layout.blocks(heads.window, _MULTIPLES[query.dtype]):
        queries, keys, values = _by_block(query, key, value, blocks, heads)
        probabilities = _probabilities(queries, keys, blocks, heads)
        _put(torch.bmm(probabilities, values), blocks, heads, output)
        if kept is not None:
            kept.append(probabilities if keys.shape[1] <= KEPT_KEYS else None)
    return output


def attend_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: Heads, kept: Kept
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value from that of the output, grad: (N, Q * D)."""
    grad_query = torch.zeros_like(query, memory_format=torch.contiguous_format)
    grad_key, grad_value = (torch.zeros(tensor.shape, dtype=torch.float32) for tensor in (key, value))
    for blocks, probabilities in zip(layout.blocks(heads.window, _MULTIPLES[query.dtype]), kept, strict=True):
        queries, keys, values = _by_block(query, key, value, blocks, heads)
        grads = _query_rows(grad, blocks, heads)
        if probabilities is None:
            probabilities = _probabilities(queries, keys, blocks, heads)
        _add(torch.bmm(probabilities.transpose(1, 2), grads), blocks, heads, grad_value)
        by_score = torch.bmm(grads, values.transpose(1, 2))
        mine, theirs = _by_head(probabilities, blocks, heads), _by_head(by_score, blocks, heads)
        ops.causal_softmax_backward_(mine, theirs, heads.scale, blocks.offsets, blocks.lengths, heads.window)
        _add(torch.bmm(by_score.transpose(1, 2), queries), blocks, heads, grad_key)
        _put(torch.bmm(by_score, keys), blocks, heads, grad_query)
    return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype)


def _by_block(query: Tensor, key: Tensor, value: Tensor, blocks: Blocks, heads: Heads) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B * K, G * L, D), keys and values (B * K, C, D)."""
    keys, values = (ops.gather_rows(tensor, blocks.keys, heads.num_keys).flatten(0, 1) for tensor in (key, value))
    return _query_rows(query, blocks, heads), keys, values


def _query_rows(tensor: Tensor, blocks: Blocks, heads: Heads) -> Tensor:
    """(B * K, G * L, D): rows of queries, those of the heads that share a key head under each other."""
    rows = ops.gather_rows(tensor, blocks.queries, heads.num_queries)  # (B, Q, L, D)
    return rows.view(len(rows) * heads.num_keys, -1, rows.shape[-1])


def _by_head(tensor: Tensor, blocks: Blocks, heads: Heads) -> Tensor:
    """(B, Q, L, ...) of (B * K, G * L, ...)."""
    return tensor.view(len(blocks.queries), heads.num_queries, blocks.queries.shape[1], tensor.shape[-1])


def _probabilities(queries: Tensor, keys: Tensor, blocks: Blocks, heads: Heads) -> Tensor:
    """(B * K, G * L, C) in the type of the queries."""
    scores = torch.bmm(queries, keys.transpose(1, 2))
    ops.causal_softmax_(_by_head(scores, blocks, heads), heads.scale, blocks.offsets, blocks.lengths, heads.window)
    return scores


def _put(rows: Tensor, blocks: Blocks, heads: Heads, out: Tensor) -> None:
    """Write rows of queries (B * K, G * L, D) to their tokens."""
    ops.scatter_rows_(_by_head(rows, blocks, heads), blocks.queries, out)


def _add(rows: Tensor, blocks: Blocks, heads: Heads, total: Tensor) -> None:
    """Add rows of keys (B * K, C, D) to their tokens."""
    ops.add_rows_(rows.view(len(blocks.keys), heads.num_keys, *rows.shape[1:]), blocks.keys, total)


class BlockAttention(torch.autograd.Function):
    """`attend` for autograd."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: Heads) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.layout, ctx.heads = layout, heads
        ctx.kept = [] if any(ctx.needs_input_grad) else None
        return attend(query, key, value, layout, heads, ctx.kept)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value = ctx.saved_tensors
        return (*attend_backward(grad_outputs[0], query, key, value, ctx.layout, ctx.heads, ctx.kept), None, None)
