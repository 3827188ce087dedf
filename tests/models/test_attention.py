"""Attention over chains of a forest equals a dense mask's."""

import pytest
import torch

from autotrain.models.attention import (
    Handle,
    UnsupportedAttentionError,
    _forest_mask,
    forest_attention,
    layout_in_use,
)
from autotrain.models.layout import Chain, make_layout
from autotrain.types import Span

PAIR = (Span(0, 4), Span(4, 3, 0), Span(7, 5, 0))


def test_prompt_and_first_branch_are_one_causal_chain():
    assert make_layout(PAIR).chains == (Chain(0, 7), Chain(7, 5, ((0, 4),)))


def test_a_branch_of_a_branch_sees_each_ancestor_once():
    layout = make_layout((Span(0, 4), Span(4, 3, 0), Span(7, 5, 0), Span(12, 2, 2), Span(14, 2, 2)))
    assert layout.chains[2] == Chain(14, 2, ((0, 4), (1, 5)))
    assert layout.longest_path == 4 + 5 + 2


def test_an_empty_prompt_leaves_its_branches_alone():
    layout = make_layout((Span(0, 0), Span(0, 3, 0), Span(3, 5, 0)))
    assert layout.chains == (Chain(0, 3), Chain(3, 5))


def test_an_empty_first_answer_does_not_let_the_second_join_it():
    layout = make_layout((Span(0, 4), Span(4, 0, 0), Span(4, 5, 0)))
    assert [(chain.start, chain.length, chain.prefix_length) for chain in layout.chains] == [(0, 4, 0), (4, 5, 4)]


@pytest.mark.parametrize("spans", [(Span(0, 3), Span(4, 2)), (Span(0, 3), Span(2, 2))])
def test_gaps_and_overlaps_are_refused(spans: tuple[Span, ...]):
    with pytest.raises(ValueError, match="side by side"):
        make_layout(spans)


def dense_mask(spans: tuple[Span, ...], window: int | None) -> torch.Tensor:
    """(N, N): sees itself and earlier tokens of its path, window counted on the path."""
    total = sum(span.length for span in spans)
    mask = torch.zeros(total, total, dtype=torch.bool)
    for span in spans:
        path, parent = list(range(span.start, span.start + span.length)), span.parent
        while parent is not None:
            path = [*range(spans[parent].start, spans[parent].start + spans[parent].length), *path]
            parent = spans[parent].parent
        for place, token in enumerate(path):
            seen = path[: place + 1] if window is None else path[max(0, place + 1 - window) : place + 1]
            mask[token, seen] = True
    return mask


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("has_sink", [False, True])
def test_output_equals_a_dense_masks(window: int | None, softcap: float | None, has_sink: bool):
    spans = (*PAIR, Span(12, 6), Span(18, 2, 2))
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 20, 8), torch.randn(1, 2, 20, 8), torch.randn(1, 2, 20, 6)
    sinks = torch.randn(4) if has_sink else None
    handle = Handle(make_layout(spans), window)
    found, _ = forest_attention(torch.nn.Module(), query, key, value, handle, scaling=0.3, softcap=softcap, s_aux=sinks)

    scores = query @ key.repeat_interleave(2, dim=1).transpose(2, 3) * 0.3
    scores = scores if softcap is None else softcap * torch.tanh(scores / softcap)
    scores = scores.masked_fill(~dense_mask(spans, window), float("-inf")).exp()
    total = scores.sum(-1, keepdim=True) + (sinks.exp().reshape(1, 4, 1, 1) if sinks is not None else 0)
    expected = (scores / total) @ value.repeat_interleave(2, dim=1)
    torch.testing.assert_close(found, expected.transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_dropout_is_applied_in_both_ways_of_computing():
    torch.manual_seed(0)
    query = torch.randn(1, 2, 12, 8)
    handle = Handle(make_layout(PAIR), None)
    for softcap in (None, 50.0):
        kept, _ = forest_attention(torch.nn.Module(), query, query, query, handle, softcap=softcap)
        dropped, _ = forest_attention(torch.nn.Module(), query, query, query, handle, dropout=0.5, softcap=softcap)
        assert not torch.allclose(kept, dropped)


def test_what_would_be_silently_wrong_is_refused():
    handle, value = Handle(make_layout(PAIR), None), torch.randn(1, 2, 12, 8)
    longer = torch.randn(1, 2, 14, 8)  # as prefix tuning would make it
    with pytest.raises(UnsupportedAttentionError, match="keys of shape"):
        forest_attention(torch.nn.Module(), value, longer, longer, handle)
    with pytest.raises(UnsupportedAttentionError, match="didn't reach"):
        forest_attention(torch.nn.Module(), value, value, value, None)
    with pytest.raises(UnsupportedAttentionError, match="position_bias"):
        forest_attention(torch.nn.Module(), value, value, value, handle, position_bias=value)
    with pytest.raises(UnsupportedAttentionError, match="is_causal"):
        forest_attention(torch.nn.Module(), value, value, value, handle, is_causal=False)


def test_the_slot_is_emptied_when_the_forward_fails():
    with pytest.raises(KeyError), layout_in_use(make_layout(PAIR)):
        assert _forest_mask(local_size=3).window == 3
        raise KeyError
    with pytest.raises(RuntimeError, match="without a layout"):
        _forest_mask()
