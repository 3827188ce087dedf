"""Contrastive preference optimisation: the objective of `cpo`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.nn.functional import logsigmoid

from autotrain.objectives.base import PairObjective
from autotrain.objectives.sequences import chosen_nll, pair_metrics, pairs, sequence_sums
from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

NAMES = ("cpo",)


@dataclass(frozen=True)
class CpoObjective(PairObjective):
    """-(1/P) sum_pairs log s(beta (log p(chosen) - log p(rejected))) + alpha * NLL of the chosen answers.

    (arXiv 2401.08417, eq. 3)  DPO with a uniform reference.  The NLL is a mean over the tokens of the step, as
    its authors' code and TRL have it; the paper writes a sum for each answer.
    """

    beta: float = 0.1
    alpha: float = 1.0

    def loss(
        self,
        policy: LogProbs | Scores,
        reference: LogProbs | None,
        counts: Counts,
        *,
        facts: Facts | None = None,
        step: Any = None,
    ) -> Loss:
        assert isinstance(policy, LogProbs)
        sums = sequence_sums(policy)
        chosen, rejected = pairs(sums)  # (P,)
        nll = chosen_nll(sums, counts)
        value = -logsigmoid(self.beta * (chosen - rejected)).sum() / counts.examples + self.alpha * nll
        metrics = pair_metrics((self.beta * chosen, self.beta * rejected), counts, (chosen, rejected))
        return Loss(value, {**metrics, "nll_loss": nll.detach()})


def from_settings(settings: Mapping[str, Any]) -> CpoObjective:
    """dpo_beta, cpo_alpha."""
    return CpoObjective(settings["dpo_beta"], settings["cpo_alpha"])
