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

        facts: what the data say about the examples of this micro-batch.
        step: what `whole_step` made for this micro-batch, if the objective needs it.
        """
        ...

    def whole_step(
        self, policy: Sequence[LogProbs | Scores], reference: Sequence[LogProbs | None], facts: Sequence[Facts]
    ) -> Sequence[Any]:
        """For each micro-batch, what its loss needs of the whole step; made of all of them, without gradient.

        So the loss doesn't depend on how the step is cut, nor on finding again which part of it one is.
        """
        ...


class PairObjective:
    """What objectives on pairs of answers have in common; they override what differs."""

    sample: Sample = "pair"
    head: Head = "causal"
    needs_reference: bool = False

    @property
    def sequences_per_example(self) -> int:
        """Chosen and rejected."""
        return 2

    @property
    def needs_whole_step(self) -> bool:
        """Most look at one pair at a time."""
        return False

    def whole_step(
        self, policy: Sequence[LogProbs | Scores], reference: Sequence[LogProbs | None], facts: Sequence[Facts]
    ) -> Sequence[Any]:
        """Nothing."""
        return [None] * len(policy)
