"""Which rows share a block."""

from collections.abc import Sequence
from typing import overload

import numpy as np


class Blocks(Sequence[Sequence[int]]):
    """Groups of row indices, rising in each; the groups themselves stand in the order of their first rows.

    rows: (rows,) indices, group after group.  starts: (groups + 1,) where each group begins in `rows`, and the end.
    """

    def __init__(self, rows: np.ndarray, starts: np.ndarray) -> None:
        self._rows = rows
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        numbers = range(len(self))[index]
        if isinstance(numbers, int):
            return self._rows[self._starts[numbers] : self._starts[numbers + 1]].tolist()
        return [self[number] for number in numbers]


def pack_lengths(lengths: Sequence[int] | np.ndarray, capacity: int) -> Blocks:
    """Best-fit decreasing: put each row, longest first, where the least room is left over.

    Rows of one length are placed together, so that the cost grows with the number of lengths.
    Each index is in one group, each group's lengths add up to at most `capacity`.
    Raises ValueError for a length that isn't in 1..capacity.
    """
    sizes = np.asarray(lengths, np.int64)
    odd = np.flatnonzero((sizes < 1) | (sizes > capacity))
    if len(odd):
        raise ValueError(f"row {odd[0]} has {sizes[odd[0]]} tokens; a block holds 1 to {capacity}")
    order = np.argsort(-sizes, kind="stable")
    shelves = _Shelves(capacity)
    blocks = np.empty(len(sizes), np.int64)  # of each row, in `order`
    start = 0
    counts = np.bincount(sizes, minlength=1)
    for length in np.flatnonzero(counts)[::-1].tolist():
        end = start + int(counts[length])
        blocks[start:end] = shelves.place(length, end - start)
        start = end
    return _grouped(order, blocks, shelves.num_blocks)


class _Shelves:
    """The blocks begun so far, by the room left in them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._with_room: dict[int, list[np.ndarray]] = {}
        self._some = 0  # bit `room` says that there are blocks with that room
        self.num_blocks = 0

    def place(self, length: int, number: int) -> np.ndarray:
        """(number,) the blocks that so many rows of `length` go into, each filled before the next."""
        placed: list[np.ndarray] = []
        while number and (fitting := self._some >> length):
            room = length + (fitting & -fitting).bit_length() - 1
            blocks = np.concatenate(self._with_room.pop(room))
            self._some &= ~(1 << room)
            number -= self._fill(blocks, room, length, number, placed)
        if number:
            num_new = -(-number // (self._capacity // length))
            new = np.arange(self.num_blocks, self.num_blocks + num_new)
            self.num_blocks += num_new
            self._fill(new, self._capacity, length, number, placed)
        return np.concatenate(placed)

    def _fill(self, blocks: np.ndarray, room: int, length: int, number: int, placed: list[np.ndarray]) -> int:
        """Put up to `number` rows into blocks with that room; returns how many found a place."""
        each = room // length
        num_full = min(len(blocks), number // each)
        rest = number - num_full * each if num_full < len(blocks) else 0
        placed.append(np.repeat(blocks[:num_full], each))
        self._put(blocks[:num_full], room - each * length)
        if rest:
            placed.append(np.repeat(blocks[num_full : num_full + 1], rest))
            self._put(blocks[num_full : num_full + 1], room - rest * length)
        self._put(blocks[num_full + (rest > 0) :], room)
        return num_full * each + rest

    def _put(self, blocks: np.ndarray, room: int) -> None:
        if room and len(blocks):
            self._with_room.setdefault(room, []).append(blocks)
            self._some |= 1 << room


def _grouped(order: np.ndarray, blocks: np.ndarray, num_blocks: int) -> Blocks:
    """Rows by block, rising; blocks by their first rows."""
    block_of = np.empty(len(order), np.int64)
    block_of[order] = blocks
    first = np.full(num_blocks, len(order), np.int64)
    np.minimum.at(first, block_of, np.arange(len(order)))
    place = np.empty(num_blocks, np.int64)
    place[np.argsort(first, kind="stable")] = np.arange(num_blocks)
    rows = np.argsort(place[block_of], kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(place[block_of], minlength=num_blocks))])
    return Blocks(rows, starts)
