"""What a list of runs says: ratios of pairs, their median and spread, and whether both sides did the same."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Run = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of several numbers."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


def tokens_per_second(run: Run) -> float:
    """Real tokens of the timed steps."""
    return run["tokens"] / run["seconds"]


def speed_ratios(rounds: Sequence[Mapping[str, Run]], ours: str, theirs: str) -> list[float]:
    """Of each round in which both ran, how many times as fast ours was."""
    pairs = [(one[ours], one[theirs]) for one in rounds if ours in one and theirs in one]
    return [tokens_per_second(mine) / tokens_per_second(other) for mine, other in pairs]


def ratios_of(rounds: Sequence[Mapping[str, Run]], ours: str, theirs: str, field: str) -> list[float]:
    """Of each round in which both ran, ours over theirs of a field."""
    pairs = [(one[ours][field], one[theirs][field]) for one in rounds if ours in one and theirs in one]
    return [mine / other for mine, other in pairs if other]


def loss_difference(ours: Run, theirs: Run, *, summed: bool) -> float:
    """The largest relative difference of a step's losses; with `summed`, of the losses summed over the data.

    inf where the steps aren't as many.
    """
    if summed:
        return relative(ours["loss_sum"], theirs["loss_sum"])
    if len(ours["losses"]) != len(theirs["losses"]) or not ours["losses"]:
        return math.inf
    return max(relative(mine, other) for mine, other in zip(ours["losses"], theirs["losses"], strict=True))


def relative(ours: float, theirs: float) -> float:
    """|ours - theirs| / |theirs|; inf where one isn't a number."""
    if not (math.isfinite(ours) and math.isfinite(theirs)):
        return math.inf
    return abs(ours - theirs) / max(abs(theirs), 1e-12)


def worst_difference(rounds: Sequence[Mapping[str, Run]], ours: str, theirs: str, *, summed: bool) -> float:
    """The largest difference over the rounds in which both ran."""
    pairs = [(one[ours], one[theirs]) for one in rounds if ours in one and theirs in one]
    return max((loss_difference(mine, other, summed=summed) for mine, other in pairs), default=math.inf)
