"""Packing loses nothing, overfills nothing, and wastes little."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrain.data.pack import pack_lengths


@given(st.integers(1, 64).flatmap(lambda size: st.tuples(st.lists(st.integers(1, size), max_size=60), st.just(size))))
def test_each_row_is_in_one_block_and_no_block_is_overfull(case):
    lengths, capacity = case
    blocks = pack_lengths(lengths, capacity)
    assert sorted(index for block in blocks for index in block) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in block) <= capacity for block in blocks)
    # Best fit never leaves two blocks that are half empty.
    assert sum(2 * sum(lengths[index] for index in block) <= capacity for block in blocks) <= 1
    assert blocks == pack_lengths(lengths, capacity)


def test_best_fit_takes_the_block_with_least_room():
    # 7 and 5 open blocks with room 3 and 5; the 3 fits both, and fills the first.
    assert pack_lengths([5, 7, 3, 5], 10) == [[0, 3], [1, 2]]


@pytest.mark.parametrize("length", [0, 11])
def test_a_row_that_fits_no_block_is_refused(length):
    with pytest.raises(ValueError, match="row 1 has"):
        pack_lengths([3, length], 10)
