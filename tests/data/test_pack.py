"""Packing loses nothing, overfills nothing, and wastes little."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrain.data.pack import pack_lengths


def best_fit_decreasing(lengths, capacity):
    """Row by row: the plain twin."""
    blocks = []
    for length in sorted(lengths, reverse=True):
        fitting = [block for block in blocks if sum(block) + length <= capacity]
        if fitting:
            max(fitting, key=sum).append(length)
        else:
            blocks.append([length])
    return blocks


@given(st.integers(1, 64).flatmap(lambda size: st.tuples(st.lists(st.integers(1, size), max_size=60), st.just(size))))
def test_each_row_is_in_one_block_and_no_block_is_overfull(case):
    lengths, capacity = case
    blocks = pack_lengths(lengths, capacity)
    assert sorted(index for block in blocks for index in block) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in block) <= capacity for block in blocks)
    # Best fit never leaves two blocks that are half empty.
    assert sum(2 * sum(lengths[index] for index in block) <= capacity for block in blocks) <= 1
    assert list(blocks) == list(pack_lengths(lengths, capacity))
    assert [list(block) for block in blocks] == sorted(sorted(block) for block in blocks)
    assert len(blocks) == len(best_fit_decreasing(lengths, capacity))


def test_best_fit_takes_the_block_with_least_room():
    # 7 and 5 open blocks with room 3 and 5; the 3 fits both, and fills the first.
    assert list(pack_lengths([5, 7, 3, 5], 10)) == [[0, 3], [1, 2]]


@pytest.mark.parametrize("length", [0, 11])
def test_a_row_that_fits_no_block_is_refused(length):
    with pytest.raises(ValueError, match="row 1 has"):
        pack_lengths([3, length], 10)


def test_groups_are_read_by_number_and_by_slice():
    blocks = pack_lengths([4, 4, 4], 8)
    assert (len(blocks), blocks[0], blocks[-1], blocks[0:2]) == (2, [0, 1], [2], [[0, 1], [2]])
    assert len(pack_lengths([], 8)) == 0
