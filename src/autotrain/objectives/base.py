"""What an objective is: a pure function of log-probabilities."""

from typing import Literal, Protocol

from autotrain.types import Counts, LogProbs, Loss


class Objective(Protocol):
    """Sees log-probabilities and the counts of the whole step; no model, tokenizer, trainer or config."""

    @property
    def sample(self) -> Literal["text", "pair"]:
        """What it is trained on."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Whether it compares with the log-probabilities of a reference model."""
        ...

    def loss(self, policy: LogProbs, reference: LogProbs | None, counts: Counts) -> Loss:
        """This micro-batch's share of the step's loss: sums divided by `counts`, never a mean of its own."""
        ...
