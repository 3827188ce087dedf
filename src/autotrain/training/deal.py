"""Which process computes which examples of a step: pure arithmetic that each of them does for itself.

Processes get about equal numbers of tokens, not of rows: none waits for another that was dealt the long ones.
"""

import heapq
from collections.abc import Sequence

import numpy as np


def deal(indices: Sequence[int], num_tokens: Sequence[int] | np.ndarray, num_ranks: int) -> list[list[int]]:
    """The examples of each rank, of the longest first to whoever has the fewest tokens so far; some may get none.

    num_tokens: of every example of the store.  The largest share is at most one example above the smallest.
    """
    if num_ranks == 1:
        return [list(indices)]
    shares: list[list[int]] = [[] for _ in range(num_ranks)]
    loads = [(0, rank) for rank in range(num_ranks)]
    for index in sorted(indices, key=lambda index: (-int(num_tokens[index]), index)):
        load, rank = heapq.heappop(loads)
        shares[rank].append(index)
        heapq.heappush(loads, (load + int(num_tokens[index]), rank))
    return shares
