"""Next-token prediction: the objective of `default` and `sft`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autotrain.types import Counts, LogProbs, Loss

NAMES = ("default", "sft")


@dataclass(frozen=True)
class CausalObjective:
    """Mean negative log-likelihood of the trained tokens: -(1/T) sum_t log p(x_t | x_<t)."""

    sample: Literal["text", "pair"] = "text"
    needs_reference: bool = False

    def loss(self, policy: LogProbs, reference: LogProbs | None, counts: Counts) -> Loss:
        """policy.per_token: (M,).  T = counts.tokens, the trained tokens of the whole step."""
        return Loss(-policy.per_token.sum() / counts.tokens)


def from_settings(settings: Mapping[str, Any]) -> CausalObjective:
    """It has no settings."""
    return CausalObjective()
