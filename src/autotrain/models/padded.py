"""The same batch as right-padded rows, for models that can't take the flat layout.

Causal layers never see what is to the right, so the rows need no mask, whatever the layers are.  What a prompt's branches
share is computed once per branch.  Legend: N tokens of the batch, R rows (paths from a root to a leaf), T columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autotrain.types import Span


@dataclass(frozen=True)
class PaddedRows:
    """token: (R, T) int64, index in 0..N-1 of the token in each cell (cells on the right of a path repeat token 0).

    row, column: (N,) int64, where the hidden state of each token is found.
    """

    token: Tensor
    row: Tensor
    column: Tensor

    @property
    def num_cells(self) -> int:
        """Tokens that the model computes, padding and repeated prompts included."""
        return self.token.numel()


def pad_rows(spans: Sequence[Span], sizes: Sequence[int] = ()) -> PaddedRows:
    """Lay the paths of `spans` out as rows.  Rows are as long as the longest, or the smallest of `sizes` that holds it."""
    paths = _paths(spans)
    tokens = [torch.cat([torch.arange(spans[i].start, spans[i].start + spans[i].length) for i in path]) for path in paths]
    longest = max(len(path) for path in tokens)
    width = min((size for size in sizes if size >= longest), default=longest)
    num_tokens = sum(span.length for span in spans)
    cells = torch.zeros(len(paths), width, dtype=torch.int64)
    row, column = torch.zeros(num_tokens, dtype=torch.int64), torch.zeros(num_tokens, dtype=torch.int64)
    for index in reversed(range(len(paths))):  # a shared prompt is read from its first branch
        path = tokens[index]
        cells[index, : len(path)] = path
        row[path] = index
        column[path] = torch.arange(len(path))
    return PaddedRows(cells, row, column)


def _paths(spans: Sequence[Span]) -> list[list[int]]:
    """For each leaf, the spans from its root to it."""
    parents = {span.parent for span in spans}
    paths: list[list[int]] = []
    for leaf in (index for index in range(len(spans)) if index not in parents):
        path = [leaf]
        while (parent := spans[path[0]].parent) is not None:
            path.insert(0, parent)
        if any(spans[index].length for index in path):
            paths.append(path)
    return paths
