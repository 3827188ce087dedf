"""The chains of a layout as blocks of queries that attention on processors takes, many at once.

A block is a few queries of a chain and the keys that they may see: what comes before them on their path, and themselves.
Blocks of about the same size are filled up to one size and computed together, so that a batch of many short texts takes
few products, and of few shapes: the library that makes them makes code for each shape.

Legend: B blocks of a group, L queries and C keys of each.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autotrain.models.fast.paths import Chained

# Queries of a block: few waste little on keys that none of them sees, and many make a fast product.  Of the blocks of long
# texts, which are each of a size of their own, there had better be fewer.
_SIZE, _LONG_SIZE, _LONG = 64, 128, 512


# Keys up to which a block's probabilities are kept for the backward pass: what short texts need is little, and making it
# again costs them most.
KEPT_KEYS = 256


@dataclass(frozen=True)
class Blocks:
    """Blocks of one size.

    queries: (B, L) and keys: (B, C), int32, which token of the batch each is; -1 where the block is filled up.
    offsets: (B,) int32, which of its keys a block's first query is itself.  lengths: (B,) int32, how many queries there are.
    """

    queries: Tensor
    keys: Tensor
    offsets: Tensor
    lengths: Tensor


@dataclass(frozen=True, slots=True)
class _Block:
    queries: np.ndarray
    keys: np.ndarray
    offset: int


def blocks_of(chains: Sequence[Chained], window: int | None, multiple: int) -> tuple[Blocks, ...]:
    """All queries of all chains, each in one block; a query sees what is before it on its path, and itself.

    window: a query sees only the last so many.  multiple: what sizes are filled up to, at least.
    """
    groups = defaultdict[tuple[int, int], list[_Block]](list)
    for chain in chains:
        path = _path(chains, chain)
        num_before = len(path) - chain.length
        for start, size in _starts(num_before, len(path)):
            end = min(start + size, len(path))
            first = 0 if window is None else max(0, start - window + 1)
            block = _Block(path[start:end], path[first:end], start - first)
            filled = multiple if size == _SIZE else size
            groups[_filled_up(end - start, filled), _filled_up(end - first, filled)].append(block)
    return tuple(_joined(blocks, *size) for size, blocks in groups.items())


def num_kept(lengths: Iterable[int]) -> int:
    """Of texts of so many tokens: how many probabilities each head keeps at most, filled up as blocks are."""
    full = [_SIZE * keys for keys in range(_SIZE, KEPT_KEYS + 1, _SIZE)]
    return sum(sum(full[: _filled_up(length, _SIZE) // _SIZE]) for length in lengths)


def _path(chains: Sequence[Chained], chain: Chained) -> np.ndarray:
    """Which tokens are on the path of a chain, its own at the end."""
    before = [(chains[earlier].start, count) for earlier, count in chain.prefix]
    pieces = [np.arange(start, start + length, dtype=np.int32) for start, length in (*before, (chain.start, chain.length))]
    return np.concatenate(pieces)


def _starts(first: int, end: int) -> Iterator[tuple[int, int]]:
    """Where on a path blocks begin, and of which size they are."""
    while first < end:
        size = _SIZE if first < _LONG else _LONG_SIZE
        yield first, size
        first += size


def _filled_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple


def _joined(blocks: Sequence[_Block], num_queries: int, num_keys: int) -> Blocks:
    return Blocks(
        _rows([block.queries for block in blocks], num_queries),
        _rows([block.keys for block in blocks], num_keys),
        torch.tensor([block.offset for block in blocks], dtype=torch.int32),
        torch.tensor([len(block.queries) for block in blocks], dtype=torch.int32),
    )


def _rows(pieces: Sequence[np.ndarray], length: int) -> Tensor:
    rows = np.full((len(pieces), length), -1, np.int32)
    for row, piece in zip(rows, pieces, strict=True):
        row[: len(piece)] = piece
    return torch.from_numpy(rows)
