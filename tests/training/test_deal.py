"""Processes get equal tokens, not equal rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autotrain.training.deal import deal


@given(st.lists(st.integers(1, 500), min_size=1, max_size=60), st.integers(1, 5))
def test_every_example_is_dealt_once_and_no_rank_is_more_than_one_example_ahead(lengths: list[int], ranks: int) -> None:
    shares = deal(range(len(lengths)), lengths, ranks)
    assert sorted(index for share in shares for index in share) == list(range(len(lengths)))
    loads = [sum(lengths[index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= max(lengths)


def test_one_long_row_is_weighed_against_many_short_ones() -> None:
    assert sorted(map(len, deal(range(9), np.array([80, *[10] * 8]), 2))) == [1, 8]


def test_with_fewer_rows_than_ranks_some_get_none() -> None:
    assert sorted(map(len, deal([3], np.array([5, 5, 5, 5]), 3))) == [0, 0, 1]


def test_all_ranks_deal_alike_whatever_the_order_of_the_step() -> None:
    lengths = np.array([5, 9, 9, 2, 7])
    assert deal([4, 2, 0, 1, 3], lengths, 2) == deal([0, 1, 2, 3, 4], lengths, 2)
