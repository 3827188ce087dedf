"""Next-token prediction: the objective of `default` and `sft`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autotrain.objectives.base import Head, Sample
from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

NAMES = ("default", "sft")


@dataclass(frozen=True)
class CausalObjective:
    """Mean negative log-likelihood of the trained tokens: -(1/T) sum_t log p(x_t | x_<t)."""

    sample: Sample = "text"
    head: Head = "causal"
    sequences_per_example: int = 1
    needs_reference: bool = False
    needs_whole_step: bool = False

    def loss(
        self,
        policy: LogProbs | Scores,
        reference: LogProbs | None,
        counts: Counts,
        *,
        facts: Facts | None = None,
        step: Any = None,
    ) -> Loss:
        """policy.per_token: (M,).  T = counts.tokens, the trained tokens of the whole step."""
        assert isinstance(policy, LogProbs)
        return Loss(-policy.per_token.sum() / counts.tokens)

    def whole_step(
        self, policy: Sequence[LogProbs | Scores], reference: Sequence[LogProbs | None], facts: Sequence[Facts]
    ) -> Sequence[Any]:
        """It needs nothing of the whole step."""
        return [None] * len(policy)


def from_settings(settings: Mapping[str, Any]) -> CausalObjective:
    """It has no settings."""
    return CausalObjective()
