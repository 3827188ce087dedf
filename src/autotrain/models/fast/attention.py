"""Attention of a forest by batched matrix products over blocks of queries: fast on processors, and made again going back.

torch's own attention is slow on short texts there.  Here the queries that share a key head lie under each other in one
product, and a block of queries sees only the keys up to its last one.  Probabilities of blocks that see few keys are kept
for the backward pass, others made again, so that what is kept grows with the tokens and not with their square.

Legend: N tokens, Q query heads, K key heads, G = Q / K, D head size, L queries of a block, C keys that it may see.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from autotrain.models.kernels import ops
from autotrain.models.layout import Chain, Layout

# Keys up to which a block's probabilities are kept: what short texts need is little, and making it again costs them most.
_KEPT_KEYS = 256
# Queries of a block: few enough to waste little on keys that none of them sees, enough for a fast product.
_BLOCK = {torch.bfloat16: 128, torch.float32: 64}


@dataclass(frozen=True)
class Heads:
    """Numbers of query and key heads, what scores are multiplied by, and how many positions back a query sees."""

    num_queries: int
    num_keys: int
    scale: float
    window: int | None = None


@dataclass(frozen=True, slots=True)
class _Block:
    """Queries start .. end-1 of the batch, which see the keys first .. last-1 of their path; offset: of the first query."""

    start: int
    end: int
    first: int
    last: int
    offset: int


def can_attend(query: Tensor) -> bool:
    """Whether blocks serve these values: on a processor, of a type that products are fast in."""
    return query.device.type == "cpu" and query.dtype in _BLOCK


Kept = list[Tensor | None]  # probabilities (K, G * L, C) of each block, None where they are made again


def attend(query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: Heads, kept: Kept | None = None) -> Tensor:
    """(N, Q * D).  query: (N, Q * D).  key, value: (N, K * D).  kept: is filled for `attend_backward`.

    Tokens that the layout doesn't name attend to nothing: their rows are zero.
    """
    query, key, value = _by_head(query, heads.num_queries), _by_head(key, heads.num_keys), _by_head(value, heads.num_keys)
    output = query.new_zeros(*query.shape[:2], value.shape[-1])
    for index, chain in enumerate(layout.chains):
        keys, values = _on_path(key, layout, index), _on_path(value, layout, index)
        for block in _blocks(chain, heads.window, _BLOCK[query.dtype]):
            probabilities = _probabilities(_queries(query, block, heads), keys, block, heads)
            _put(output, torch.bmm(probabilities, values[:, block.first : block.last]), block, heads)
            if kept is not None:
                kept.append(probabilities if block.last - block.first <= _KEPT_KEYS else None)
    return output.flatten(1)


def attend_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: Heads, kept: Kept
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value from that of the output, grad: (N, Q * D)."""
    grad, query = _by_head(grad, heads.num_queries), _by_head(query, heads.num_queries)
    key, value = _by_head(key, heads.num_keys), _by_head(value, heads.num_keys)
    grad_query = torch.zeros_like(query)
    grad_key, grad_value = torch.zeros_like(key, dtype=torch.float32), torch.zeros_like(value, dtype=torch.float32)
    remaining = iter(kept)
    for index, chain in enumerate(layout.chains):
        keys, values = _on_path(key, layout, index), _on_path(value, layout, index)
        path_grad_key = torch.zeros_like(keys, dtype=torch.float32)
        path_grad_value = torch.zeros_like(values, dtype=torch.float32)
        for block in _blocks(chain, heads.window, _BLOCK[query.dtype]):
            seen = slice(block.first, block.last)
            queries, grads = _queries(query, block, heads), _queries(grad, block, heads)
            probabilities = next(remaining)
            if probabilities is None:
                probabilities = _probabilities(queries, keys, block, heads)
            path_grad_value[:, seen] += torch.bmm(probabilities.transpose(1, 2), grads)
            by_score = torch.bmm(grads, values[:, seen].transpose(1, 2))
            shape = (heads.num_queries, block.end - block.start, block.last - block.first)
            ops.causal_softmax_backward_(
                probabilities.view(shape), by_score.view(shape), heads.scale, block.offset, heads.window
            )
            path_grad_key[:, seen] += torch.bmm(by_score.transpose(1, 2), queries)
            _put(grad_query, torch.bmm(by_score, keys[:, seen]), block, heads)
        _add_on_path(grad_key, path_grad_key, layout, index)
        _add_on_path(grad_value, path_grad_value, layout, index)
    return grad_query.flatten(1), grad_key.flatten(1).to(key.dtype), grad_value.flatten(1).to(value.dtype)


def _by_head(tensor: Tensor, num_heads: int) -> Tensor:
    """(N, heads, D)."""
    return tensor.unflatten(1, (num_heads, -1))


def _blocks(chain: Chain, window: int | None, size: int) -> Iterator[_Block]:
    prefix = chain.prefix_length
    for start in range(0, chain.length, size):
        end = min(start + size, chain.length)
        first = 0 if window is None else max(0, prefix + start - window + 1)
        yield _Block(chain.start + start, chain.start + end, first, prefix + end, prefix + start - first)


def _on_path(tensor: Tensor, layout: Layout, index: int) -> Tensor:
    """(K, C, D) contiguous: what lies on the path of a chain, its own tokens last."""
    chain = layout.chains[index]
    pieces = [tensor[place] for place in _places(layout, chain)]
    path = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
    return path.transpose(0, 1).contiguous()


def _add_on_path(total: Tensor, path: Tensor, layout: Layout, index: int) -> None:
    """Add (K, C, D) to the tokens (of N) that it belongs to."""
    start = 0
    for place in _places(layout, layout.chains[index]):
        length = place.stop - place.start
        total[place] += path[:, start : start + length].transpose(0, 1)
        start += length


def _places(layout: Layout, chain: Chain) -> list[slice]:
    starts = [(layout.chains[earlier].start, count) for earlier, count in chain.prefix]
    return [slice(start, start + length) for start, length in (*starts, (chain.start, chain.length))]


def _queries(tensor: Tensor, block: _Block, heads: Heads) -> Tensor:
    """(K, G * L, D) contiguous: a block's rows, those of the heads that share a key head under each other."""
    rows = tensor[block.start : block.end].unflatten(1, (heads.num_keys, -1))  # (L, K, G, D)
    return rows.permute(1, 2, 0, 3).reshape(heads.num_keys, -1, tensor.shape[-1])


def _put(tensor: Tensor, rows: Tensor, block: _Block, heads: Heads) -> None:
    """The way back of `_queries`."""
    length = block.end - block.start
    by_head = rows.view(heads.num_queries, length, rows.shape[-1])  # (Q, L, D)
    tensor[block.start : block.end] = by_head.transpose(0, 1)


def _probabilities(queries: Tensor, keys: Tensor, block: _Block, heads: Heads) -> Tensor:
    """(K, G * L, C) in the type of the queries."""
    scores = torch.bmm(queries, keys[:, block.first : block.last].transpose(1, 2))
    shape = (heads.num_queries, block.end - block.start, block.last - block.first)
    ops.causal_softmax_(scores.view(shape), heads.scale, block.offset, heads.window)
    return scores


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
