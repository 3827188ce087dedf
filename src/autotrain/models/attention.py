"""Attention over a forest laid out flat, through transformers' attention interface.

Legend: N tokens, Q query heads, K key/value heads, D head size, L queries of a chain, P tokens before it on its path.

The layout reaches the attention layers in the mask argument: while `layout_in_use` is open, the registered mask function
returns a Handle, which the model passes to every layer.  Keywords would be dropped by some families, and a context variable
is gone when a checkpointed layer is computed again; the handle is kept in the checkpoint's closure.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

from autotrain.models.fast.attention import ForestAttention, can_attend
from autotrain.models.fast.varlen import Call, attend_at_once
from autotrain.models.fast.varlen_check import choose_kernel
from autotrain.models.kernels.tiles import Heads
from autotrain.models.layout import Chain, Layout
from autotrain.models.precision import compute_dtype

FOREST = "autotrain_forest"

# Keywords that models pass along and that change nothing here: the window comes with the handle.
_HARMLESS = frozenset(
    (
        *("sliding_window", "is_causal", "position_ids", "cache_position", "use_cache", "layer_idx", "return_dict"),
        *("output_attentions", "output_hidden_states", "output_router_logits", "logits_to_keep", "deterministic"),
        *("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"),
    )
)


class UnsupportedAttentionError(RuntimeError):
    """The model's attention does something that the flat layout can't reproduce."""


@dataclass(frozen=True)
class Handle:
    """What the model passes to its layers instead of a mask.  window: in positions, the query's own included."""

    layout: Layout
    window: int | None


_slot: list[Layout | None] = [None]


@contextmanager
def layout_in_use(layout: Layout) -> Generator[None]:
    """Hand `layout` to the mask function.  Open it around the forward pass of the model's body only."""
    previous, _slot[0] = _slot[0], layout
    try:
        yield
    finally:
        _slot[0] = previous


def register() -> None:
    """Make the attention known to transformers under the name FOREST.  Calling it again changes nothing."""
    AttentionInterface.register(FOREST, forest_attention)
    AttentionMaskInterface.register(FOREST, _forest_mask)


def _forest_mask(*_: Any, local_size: int | None = None, **__: Any) -> Handle:
    layout = _slot[0]
    if layout is None:
        raise RuntimeError(
            "the model was called without a layout; to generate or to export, open Policy.stock_attention() around the call"
        )
    return Handle(layout, local_size)


@torch.compiler.disable
def forest_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Handle | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Each chain attends to itself, causally, and to all of its prefix.

    query: (1, Q, N, D).  key, value: (1, K, N, D); the value's D may differ.  s_aux: (Q,) sink logits.
    Returns (1, N, Q, D).  Raises UnsupportedAttentionError where the layout is missing or keys aren't the batch's tokens.
    """
    handle = _check(attention_mask, key, others)
    layout = handle.layout
    layout.calls.append(None)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout.fast and softcap is None and s_aux is None and not dropout:
        output = _at_once(query, key, value, handle, scale)
        if output is not None:
            return output, None
    lengths = [chain.length for chain in layout.chains]
    queries, keys, values = query.split(lengths, dim=2), key.split(lengths, dim=2), value.split(lengths, dim=2)
    attend = _attend_with(scale, dropout, softcap, s_aux)
    outputs: list[Tensor] = []
    for index, chain in enumerate(layout.chains):
        window = handle.window if handle.window and handle.window < chain.prefix_length + chain.length else None
        simple = window is None and not chain.prefix
        mask = None if simple else layout.mask(chain.length, chain.prefix_length, window, query.device)
        if mask is None and (softcap is not None or s_aux is not None):
            mask = layout.mask(chain.length, 0, None, query.device)
        path_keys, path_values = _on_path(keys, index, chain), _on_path(values, index, chain)
        outputs.append(attend(queries[index], path_keys, path_values, mask).transpose(1, 2))
    return torch.cat(outputs, dim=1), None


def _at_once(query: Tensor, key: Tensor, value: Tensor, handle: Handle, scale: float) -> Tensor | None:
    """(1, N, Q, D): all chains together, by the way that is fast on this device; None where there is none."""
    if can_attend(query, key.shape[1], scale):
        heads = Heads(query.shape[1], key.shape[1], scale, handle.window)
        return _by_kernel(query, key, value, handle.layout, heads)
    paths = handle.layout.paths(query.device)
    window = handle.window if handle.window and handle.window < paths.longest_path else None
    kernel = choose_kernel(query, key, value, window=window, has_branches=paths.branches is not None)
    return None if kernel is None else attend_at_once(query, key, value, kernel, Call(paths, scale, window))


def _by_kernel(query: Tensor, key: Tensor, value: Tensor, layout: Layout, heads: Heads) -> Tensor:
    """(1, N, Q, D): what the loop above computes chain by chain, by the kernel for processors."""
    dtype = compute_dtype(query)  # autocast's, as for torch's attention; queries and keys may come in float32
    rows = [tensor[0].transpose(0, 1).flatten(1).to(dtype) for tensor in (query, key, value)]
    output: Tensor = ForestAttention.apply(*rows, layout, heads)  # pyright: ignore[reportAssignmentType]
    return output.unflatten(1, (query.shape[1], -1))[None]


def _check(handle: Handle | None, key: Tensor, others: dict[str, Any]) -> Handle:
    if not isinstance(handle, Handle):
        raise UnsupportedAttentionError(f"the layout didn't reach an attention layer, which got {type(handle).__name__}")
    if key.shape[0] != 1 or key.shape[2] != handle.layout.num_tokens:
        raise UnsupportedAttentionError(f"{handle.layout.num_tokens} tokens, but keys of shape {tuple(key.shape)}")
    unknown = sorted(name for name, value in others.items() if value is not None and name not in _HARMLESS)
    if unknown or others.get("is_causal") is False:
        raise UnsupportedAttentionError(
            f"unknown arguments of an attention layer: {', '.join(unknown) or 'is_causal=False'}"
        )
    return handle


def _on_path(parts: Sequence[Tensor], index: int, chain: Chain) -> Tensor:
    """(1, K, P + L, D): the prefix's part and the chain's own."""
    if not chain.prefix:
        return parts[index]
    return torch.cat([*(parts[earlier][:, :, :count] for earlier, count in chain.prefix), parts[index]], dim=2)


Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def _attend_with(scale: float, dropout: float, softcap: float | None, sinks: Tensor | None) -> Attend:
    """The attention of one chain: torch's own, or spelt out where there is a softcap or a sink."""

    def fast(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        return functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=mask is None,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )

    def explicit(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        return _explicit(query, key, value, mask, scale=scale, dropout=dropout, softcap=softcap, sinks=sinks)

    return fast if softcap is None and sinks is None else explicit


def _explicit(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    scale: float,
    dropout: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Cap, then mask, then softmax in float32 with the sink as one more column that is dropped afterwards."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = (query @ key.transpose(2, 3)).float() * scale  # (1, Q, L, P + L)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    if sinks is not None:
        column = sinks.float().reshape(1, -1, 1, 1).expand(1, -1, scores.shape[2], 1)
        scores = torch.cat([scores, column], dim=-1)
    weights = scores.softmax(dim=-1)[..., : key.shape[2]]
    return functional.dropout(weights, p=dropout).to(value.dtype) @ value
