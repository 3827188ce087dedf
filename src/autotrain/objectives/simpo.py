"""Simple preference optimisation: the objective of `simpo`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.nn.functional import logsigmoid

from autotrain.objectives.base import PairObjective
from autotrain.objectives.sequences import pair_metrics, pairs, sequence_means
from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

NAMES = ("simpo",)


@dataclass(frozen=True)
class SimpoObjective(PairObjective):
    """-(1/P) sum_pairs log s(beta log p(chosen)/|chosen| - beta log p(rejected)/|rejected| - gamma).

    (arXiv 2405.14734, eq. 6)  gamma is the margin itself, as there; the paper's code sets gamma / beta.
    """

    beta: float = 2.0
    gamma: float = 1.0

    def loss(
        self,
        policy: LogProbs | Scores,
        reference: LogProbs | None,
        counts: Counts,
        *,
        facts: Facts | None = None,
        step: Any = None,
    ) -> Loss:
        """`logps/*` show the mean log-probabilities per token that it compares."""
        assert isinstance(policy, LogProbs)
        chosen, rejected = pairs(sequence_means(policy))  # (P,)
        value = -logsigmoid(self.beta * (chosen - rejected) - self.gamma).sum() / counts.examples
        return Loss(value, pair_metrics((self.beta * chosen, self.beta * rejected), counts, (chosen, rejected)))


def from_settings(settings: Mapping[str, Any]) -> SimpoObjective:
    """simpo_beta, simpo_gamma."""
    return SimpoObjective(settings["simpo_beta"], settings["simpo_gamma"])
