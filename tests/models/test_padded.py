"""Rows padded on the right, and where each token is found in them."""

import torch

from autotrain.models.padded import pad_rows
from autotrain.types import Span

PAIR_AND_TEXT = (Span(0, 3), Span(3, 2, 0), Span(5, 4, 0), Span(9, 2))


def test_a_prompt_is_repeated_before_each_branch():
    rows = pad_rows(PAIR_AND_TEXT)
    assert rows.token.tolist() == [[0, 1, 2, 3, 4, 0, 0], [0, 1, 2, 5, 6, 7, 8], [9, 10, 0, 0, 0, 0, 0]]
    assert rows.num_cells == 21


def test_every_token_is_found_where_it_lies():
    rows = pad_rows(PAIR_AND_TEXT)
    assert torch.equal(rows.token[rows.row, rows.column], torch.arange(11))
    assert rows.row[:3].tolist() == [0, 0, 0]  # the shared prompt: in its first branch


def test_rows_take_the_smallest_size_that_holds_them():
    assert pad_rows(PAIR_AND_TEXT, sizes=(4, 8, 16)).token.shape == (3, 8)
    assert pad_rows(PAIR_AND_TEXT, sizes=(4,)).token.shape == (3, 7)


def test_an_empty_answer_keeps_its_prompt():
    assert pad_rows((Span(0, 3), Span(3, 0, 0), Span(3, 2, 0))).token.tolist() == [[0, 1, 2, 0, 0], [0, 1, 2, 3, 4]]
