"""Reward modelling: the objective of `reward`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.nn.functional import logsigmoid

from autotrain.objectives.base import PairObjective
from autotrain.objectives.sequences import pair_metrics, pairs
from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

NAMES = ("reward",)


@dataclass(frozen=True)
class RewardObjective(PairObjective):
    """-(1/P) sum_pairs log s(r_chosen - r_rejected - margin) + centering (1/P) sum_pairs (r_chosen + r_rejected)^2.

    Bradley-Terry with a margin (arXiv 2307.09288, eq. 2).  The second term (arXiv 2312.09244, section 2) keeps the
    scores near 0, which differences alone leave anywhere.
    """

    centering: float = 0.0

    head = "score"

    def loss(
        self,
        policy: LogProbs | Scores,
        reference: LogProbs | None,
        counts: Counts,
        *,
        facts: Facts | None = None,
        step: Any = None,
    ) -> Loss:
        """facts.margin: (P,), 0 where the data give none."""
        assert isinstance(policy, Scores)
        chosen, rejected = pairs(policy.values.float())
        gap = chosen - rejected if facts is None else chosen - rejected - facts.margin
        value = -logsigmoid(gap).sum() / counts.examples
        if self.centering:
            value = value + self.centering * (chosen + rejected).square().sum() / counts.examples
        return Loss(value, pair_metrics((chosen, rejected), counts))


def from_settings(settings: Mapping[str, Any]) -> RewardObjective:
    """reward_centering."""
    return RewardObjective(settings["reward_centering"])
