"""What the attention kernel is told about heads and about who sees whom."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True)
class Heads:
    """Numbers of query and key heads, what scores are multiplied by, and how many positions back a query sees.

    Raises ValueError where queries can't share keys evenly, or scale or window aren't positive.
    """

    num_queries: int
    num_keys: int
    scale: float
    window: int | None = None

    def __post_init__(self) -> None:
        if self.num_queries % self.num_keys:
            raise ValueError(f"{self.num_queries} query heads can't share {self.num_keys} key heads evenly")
        if self.scale <= 0 or (self.window is not None and self.window < 1):
            raise ValueError(f"attention with scale {self.scale} and window {self.window}: both must be positive")


@dataclass(frozen=True)
class Tiles:
    """Blocks of queries with the keys on their path, in parts for threads to share.  All int32 on the processor.

    paths: (P,) tokens of all paths, one after the other.
    blocks: (B, 3), where a block's keys begin in `paths`, their number, and the number of its queries, which are the last of
    its keys, 64 at most, and lie side by side in the batch.
    parts: (S, 3), first block, end and total of each.  What blocks find for keys is added to their part's total; no token
    is a key of two parts with the same total.  num_totals: how many totals there are.
    """

    paths: Tensor
    blocks: Tensor
    parts: Tensor
    num_totals: int

    @cached_property
    def num_tokens(self) -> int:
        """One more than the largest token that is named."""
        return int(self.paths.max()) + 1 if len(self.paths) else 0
