"""What an objective is: a pure function of log-probabilities."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

Sample = Literal["text", "pair", "labelled"]
Head = Literal["causal", "score"]


class Objective(Protocol):
    """Sees predictions and the counts of the whole step; no model, tokenizer, trainer or config."""

    @property
    def sample(self) -> Sample:
        """What it is trained on."""
        ...

    @property
    def head(self) -> Head:
        """What it sees of the policy: log-probabilities (LogProbs), or one score a sequence (Scores)."""
        ...

    @property
    def sequences_per_example(self) -> int:
        """Sequences of an example: 1; of a pair 2 (chosen, rejected), or 3 with the prompt's own."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Whether it compares with the log-probabilities of a reference model."""
        ...

    @property
    def needs_whole_step(self) -> bool:
        """Whether it looks at the whole step before any share of its loss: then `whole_step` is called first."""
        ...

    def loss(
        self,
        policy: LogProbs | Scores,
        reference: LogProbs | None,
        counts: Counts,
        *,
        facts: Facts | None = None,
        step: Any = None,
    ) -> Loss:
        """This micro-batch's share of the step's loss: sums divided by `counts`, never a mean of its own.

        step: what `whole_step` returned.
        """
        ...

    def whole_step(
        self, policy: Sequence[LogProbs | Scores], reference: Sequence[LogProbs | None], facts: Sequence[Facts]
    ) -> Any:
        """What the loss needs of the whole step, made of all its micro-batches, without gradient."""
        ...
