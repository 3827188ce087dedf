"""Batch metadata for kernels of varying lengths: where queries and keys begin, and how gradients come back."""

import pytest
import torch

from autotrain.models.fast.paths import on_paths, paths_of
from autotrain.models.layout import make_layout
from autotrain.types import Span

CPU = torch.device("cpu")
PAIR = (Span(0, 4), Span(4, 3, 0), Span(7, 5, 0))


def test_documents_keep_their_keys_where_they_are():
    paths = make_layout((Span(0, 3), Span(3, 5))).paths(CPU)
    assert paths.branches is None
    assert paths.query_starts.tolist() == paths.key_starts.tolist() == [0, 3, 8]
    assert (paths.longest_chain, paths.longest_path) == (5, 5)
    assert paths.query_starts.dtype == torch.int32


def test_a_pair_has_its_prompts_keys_once_for_each_answer():
    """Prompt and first answer are one chain of 7; the second answer's 5 queries see 4 + 5 keys."""
    paths = make_layout(PAIR).paths(CPU)
    assert paths.query_starts.tolist() == [0, 7, 12]
    assert paths.key_starts.tolist() == [0, 7, 16]
    assert (paths.longest_chain, paths.longest_path) == (7, 9)
    assert paths.branches is not None
    assert paths.branches.tokens.tolist() == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 7, 8, 9, 10, 11]
    assert paths.branches.own.tolist() == [0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15]
    ((keys, tokens),) = paths.branches.copies
    assert (keys.tolist(), tokens.tolist()) == ([7, 8, 9, 10], [0, 1, 2, 3])


def test_a_prompt_that_four_chains_see_is_added_up_in_three_rounds():
    """In a round no token is named twice, so the order in which a GPU adds doesn't matter."""
    paths = make_layout((*PAIR, Span(12, 2, 0), Span(14, 3, 2))).paths(CPU)
    assert paths.branches is not None and len(paths.branches.copies) == 3
    for _, tokens in paths.branches.copies:
        assert len(tokens.unique()) == len(tokens)
    named = torch.cat([paths.branches.own, *(keys for keys, _ in paths.branches.copies)])
    assert sorted(named.tolist()) == list(range(len(paths.branches.tokens)))


def test_an_empty_branch_is_no_sequence():
    """Kernels are given no sequence of length 0."""
    paths = make_layout((*PAIR, Span(12, 0, 0))).paths(CPU)
    assert paths.query_starts.tolist() == [0, 7, 12]


@pytest.mark.parametrize("spans", [PAIR, (*PAIR, Span(12, 2, 0), Span(14, 3, 2), Span(17, 1))])
def test_gradients_of_keys_come_back_as_indexing_would_bring_them(spans: tuple[Span, ...]):
    paths = make_layout(spans).paths(CPU)
    assert paths.branches is not None
    torch.manual_seed(0)
    rows = torch.randn(sum(span.length for span in spans), 2, 3, dtype=torch.float64, requires_grad=True)
    slope = torch.randn(len(paths.branches.tokens), 2, 3, dtype=torch.float64)
    (found,) = torch.autograd.grad(on_paths(rows, paths), rows, slope)
    (expected,) = torch.autograd.grad(rows[paths.branches.tokens], rows, slope)
    torch.testing.assert_close(found, expected)


def test_metadata_is_made_once_for_a_batch_and_device():
    layout = make_layout(PAIR)
    assert layout.paths(CPU) is layout.paths(CPU)
    assert paths_of(layout.chains, CPU).longest_path == layout.longest_path
