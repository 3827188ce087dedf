"""The chains of a layout as the attention kernel takes them (kernels/attention.cpp): blocks of queries in parts.

A part is worked on by one thread at a time, block after block, and adds what it finds to keys and values of its own total:
parts of one tree, whose blocks see the same keys, have different totals, so that sums are made in one order always.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from autotrain.models.fast.paths import Chained, path_of
from autotrain.models.kernels.tiles import Tiles

SIZE = 64  # queries of a block, as in the kernel
_FEWEST, _MOST = 8, 4  # blocks of a part, where its tree has several, and parts of a tree
_ITEMS = 24  # parts times key heads that there should be, for threads to share


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    num_keys: int
    num_queries: int

    @property
    def cost(self) -> int:
        return -(-self.num_keys // SIZE) * -(-self.num_queries // 16)


def tiles_of(chains: Sequence[Chained], window: int | None, num_heads: int) -> Tiles:
    """window: a query sees only the last so many of its path, itself included.  num_heads: of keys."""
    paths: list[np.ndarray] = []
    trees = defaultdict[int, list[_Block]](list)
    start = 0
    for index, chain in enumerate(chains):
        path = path_of(chains, chain)
        root = chain.prefix[0][0] if chain.prefix else index
        trees[root] += _blocks(start, len(path) - chain.length, len(path), window)
        paths.append(path)
        start += len(path)
    blocks, parts = _divided([tree for tree in trees.values() if tree], num_heads)
    return Tiles(
        torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *paths])),
        torch.tensor([(block.start, block.num_keys, block.num_queries) for block in blocks], dtype=torch.int32).view(-1, 3),
        torch.tensor(parts, dtype=torch.int32).view(-1, 3),
        1 + max((total for _, _, total in parts), default=0),
    )


def _blocks(start: int, first: int, end: int, window: int | None) -> Iterator[_Block]:
    """Of the queries first .. end - 1 of a path that lies at `start`."""
    for query in range(first, end, SIZE):
        last = min(query + SIZE, end)
        key = 0 if window is None else max(0, query - window + 1)
        yield _Block(start + key, last - key, last - query)


def _divided(trees: Sequence[Sequence[_Block]], num_heads: int) -> tuple[list[_Block], list[tuple[int, int, int]]]:
    """The blocks in order, and the parts."""
    costs = [sum(block.cost for block in tree) for tree in trees]
    blocks: list[_Block] = []
    parts: list[tuple[int, int, int, int]] = []  # (cost, first, end, total)
    for tree, cost in zip(trees, costs, strict=True):
        wanted = round(_ITEMS * cost / (sum(costs) * num_heads))
        for total, piece in enumerate(_pieces(tree, max(1, min(wanted, len(tree) // _FEWEST, _MOST)))):
            parts.append((sum(block.cost for block in piece), len(blocks), len(blocks) + len(piece), total))
            blocks += piece
    return blocks, [part[1:] for part in sorted(parts, key=lambda part: -part[0])]


def _pieces(tree: Sequence[_Block], count: int) -> Iterator[Sequence[_Block]]:
    """About equally costly."""
    sums = np.cumsum([block.cost for block in tree])
    ends = np.searchsorted(sums, sums[-1] * np.arange(1, count + 1) / count) + 1
    first = 0
    for end in ends.tolist():
        if end > first:
            yield tree[first:end]
        first = max(first, end)
