"""Odds-ratio preference optimisation: the objective of `orpo`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.functional import logsigmoid

from autotrain.objectives.base import PairObjective
from autotrain.objectives.sequences import chosen_nll, log1mexp, pair_metrics, pairs, sequence_lengths, sequence_sums
from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

NAMES = ("orpo",)


@dataclass(frozen=True)
class OrpoObjective(PairObjective):
    """NLL of the chosen answers - beta (1/P) sum_pairs log s(log odds ratio)  (arXiv 2403.07691, eq. 6 and 7).

    The NLL is a mean over the trained tokens of the whole step: those of the chosen answers or, with
    `nll_on_prompt`, of prompt and chosen answer, each prompt counted once a pair.  The latter is what TRL computes.
    The odds are always those of the mean log-probability of the answer's tokens, in the paper as in TRL.
    """

    beta: float = 0.1
    nll_on_prompt: bool = False

    @property
    def sequences_per_example(self) -> int:
        """Chosen, rejected and, if it is trained on, the prompt."""
        return 3 if self.nll_on_prompt else 2

    def loss(
        self,
        policy: LogProbs | Scores,
        reference: LogProbs | None,
        counts: Counts,
        *,
        facts: Facts | None = None,
        step: Any = None,
    ) -> Loss:
        """Rewards are beta times the mean log-probabilities that it compares, which `logps/*` show."""
        assert isinstance(policy, LogProbs)
        sums = sequence_sums(policy)
        chosen, rejected = pairs(sums / sequence_lengths(policy), self.sequences_per_example)
        log_odds = log_odds_ratio(chosen, rejected)
        ratio = logsigmoid(log_odds)
        nll = chosen_nll(sums, counts, self.sequences_per_example)
        metrics = {
            **pair_metrics((self.beta * chosen, self.beta * rejected), counts, (chosen, rejected)),
            "nll_loss": nll.detach(),
            "log_odds_ratio": ratio.detach().sum() / counts.examples,
            "log_odds_chosen": log_odds.detach().sum() / counts.examples,
        }
        return Loss(nll - self.beta * ratio.sum() / counts.examples, metrics)


def log_odds_ratio(chosen: Tensor, rejected: Tensor) -> Tensor:
    """log(odds(chosen) / odds(rejected)), odds(y) = P / (1 - P)  (arXiv 2403.07691, eq. 3 and 4).

    chosen, rejected: (P,) mean log-probabilities of the answers' tokens, at most 0; finite for all of them.
    """
    return (chosen - rejected) - (log1mexp(chosen) - log1mexp(rejected))


def from_settings(settings: Mapping[str, Any]) -> OrpoObjective:
    """orpo_beta, orpo_nll_on_prompt."""
    return OrpoObjective(settings["orpo_beta"], settings["orpo_nll_on_prompt"])
