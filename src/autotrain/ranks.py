"""What the processes of one run say to each other: numbers to add up, questions that all must answer alike.

Tensors of the model travel through torch's own DDP and FSDP; these are the few numbers beside them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.distributed as dist

Way = Literal["alone", "ddp", "fsdp"]


class Ranks:
    """A run of one process; `Crew` is one of several.  way: how they share a model, and why.

    All processes call each method at the same point of the run, in the same order.
    """

    rank: int = 0
    total: int = 1
    way: Way = "alone"
    why: str = ""

    @property
    def leads(self) -> bool:
        """Whether this process writes the result and speaks."""
        return self.rank == 0

    def add(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes, in float64."""
        return list(values)

    def any(self, flag: bool) -> bool:
        """Whether it is true anywhere."""
        return flag

    def least(self, value: float) -> float:
        """The least of all values."""
        return value

    def decide(self, flag: bool) -> bool:
        """What the leader says: clocks differ."""
        return flag

    def gather(self, value: Any) -> list[Any]:
        """Everybody's value, in the order of ranks.  It is pickled, and only ever ours."""
        return [value]

    def wait(self) -> None:
        """Until all are here."""

    def tick(self, step: int | None = None) -> None:
        """Say that something was done, `step` steps so far."""

    def gradients_of(self, forward: Any, *, is_last: bool) -> AbstractContextManager[Any]:
        """Around a backward pass.  is_last: of the step, so that processes add up their gradients now."""
        return nullcontext()


ALONE = Ranks()


class Crew(Ranks):
    """One of several processes, in a process group whose processor side is gloo."""

    def __init__(self, way: Way, why: str, on_tick: Callable[[int | None], None] = lambda step: None) -> None:
        self.rank, self.total, self.way = dist.get_rank(), dist.get_world_size(), way
        self.why, self._on_tick = why, on_tick
        self._talk: Any = dist.new_group(backend="gloo")

    def add(self, values: Sequence[float]) -> list[float]:
        return self._reduced(values, dist.ReduceOp.SUM)

    def any(self, flag: bool) -> bool:
        return self._reduced([float(flag)], dist.ReduceOp.SUM)[0] > 0

    def least(self, value: float) -> float:
        return self._reduced([value], dist.ReduceOp.MIN)[0]

    def decide(self, flag: bool) -> bool:
        return self._reduced([float(flag and self.leads)], dist.ReduceOp.SUM)[0] > 0

    def tick(self, step: int | None = None) -> None:
        self._on_tick(step)

    def gather(self, value: Any) -> list[Any]:
        values: list[Any] = [None] * self.total
        dist.all_gather_object(values, value, group=self._talk)
        return values

    def wait(self) -> None:
        dist.barrier(group=self._talk)

    def gradients_of(self, forward: Any, *, is_last: bool) -> AbstractContextManager[Any]:
        return nullcontext() if is_last or self.way != "ddp" else forward.no_sync()

    def _reduced(self, values: Sequence[float], kind: Any) -> list[float]:
        numbers = torch.tensor(list(values), dtype=torch.float64)
        dist.all_reduce(numbers, op=kind, group=self._talk)
        return numbers.tolist()
