"""One optimizer step, however it is cut; and one validation pass, which is the same without gradients."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from autotrain.data.batches import collate, count, cut
from autotrain.data.store import ExampleStore
from autotrain.errors import TrainingError
from autotrain.models.transfer import to_device
from autotrain.objectives.base import Objective
from autotrain.training.checkpoint import random_states, restore_random_states
from autotrain.training.rate import attended_tokens
from autotrain.types import Batch, Counts, Facts, LogProbs, Loss, Scores

Predict = Callable[[Batch], Any]
Scale = Callable[[Tensor], Tensor]
Prediction = tuple[LogProbs | Scores, LogProbs | None, Facts]


@dataclass(frozen=True)
class Examples:
    """A store and, for objectives that compare, what the reference model says of its examples.

    reference: takes a batch and the indices of its examples in the store.
    """

    store: ExampleStore
    reference: Callable[[Batch, Sequence[int]], LogProbs] | None = None


@dataclass(frozen=True)
class StepResult:
    """loss and metrics: means over the whole step.  token_budget: as it was in the end.

    num_attended_tokens: summed over the tokens, how many tokens each looks at.
    """

    loss: float
    metrics: Mapping[str, float]
    counts: Counts
    num_tokens: int
    num_attended_tokens: int
    token_budget: int


class Stop(Exception):
    """Raised between two micro-batches of a validation when the user asked to stop."""


@dataclass(frozen=True)
class _Pass:
    """What the micro-batches of one step have in common.

    whole: for each of them, what the objective made of the whole step, if it asked.
    """

    policy: Predict
    objective: Objective
    examples: Examples
    counts: Counts
    parts: Sequence[Sequence[int]]
    whole: Sequence[Any]

    def predict(self, indices: Sequence[int]) -> Prediction:
        batch = collate([self.examples.store[index] for index in indices])
        assert batch.facts is not None  # collate states them
        reference = self.examples.reference(batch, indices) if self.examples.reference else None
        output = self.policy(batch)
        device = output.values.device if isinstance(output, Scores) else output.per_token.device
        return output, reference, Facts(to_device(batch.facts.margin, device), to_device(batch.facts.label, device))

    def shares(self) -> Iterator[Loss]:
        for part, whole in zip(self.parts, self.whole, strict=True):
            output, reference, facts = self.predict(part)
            yield self.objective.loss(output, reference, self.counts, facts=facts, step=whole)


def _prepare(
    policy: Predict,
    objective: Objective,
    examples: Examples,
    counts: Counts,
    parts: Sequence[Sequence[int]],
    check: Callable[[], None] = lambda: None,
) -> _Pass:
    """Objectives that look at the whole step see it here, in a pass without gradient and from the same random state."""
    simple = _Pass(policy, objective, examples, counts, parts, [None] * len(parts))
    if not objective.needs_whole_step:
        return simple
    randoms = random_states()
    outputs: list[Prediction] = []
    with torch.no_grad():
        for part in parts:
            check()
            outputs.append(simple.predict(part))
    restore_random_states(randoms)
    policies, references, facts = zip(*outputs, strict=True)
    return replace(simple, whole=objective.whole_step(policies, references, facts))


def accumulate(
    policy: Predict,
    objective: Objective,
    examples: Examples,
    indices: Sequence[int],
    token_budget: int,
    scale: Scale = lambda loss: loss,
) -> StepResult:
    """Forward and backward over the examples of one step; gradients add up in the parameters.

    Loss and gradients don't depend on `token_budget`, the largest number of tokens of a micro-batch.
    scale: what is done to a loss before its backward pass (fp16 multiplies it).
    """
    num_tokens = [int(examples.store.num_tokens[index]) for index in indices]
    parts = [[indices[place] for place in part] for part in cut(range(len(indices)), num_tokens, token_budget)]
    rows = [examples.store[index] for index in indices]
    counts = count(rows)
    step = _prepare(policy, objective, examples, counts, parts)
    shares: list[Loss] = []
    for share in step.shares():
        if share.value.requires_grad:
            torch.autograd.backward(scale(share.value))
        shares.append(_numbers(share))
    sums = _sums(shares)
    return StepResult(sums.pop("loss"), sums, counts, sum(num_tokens), attended_tokens(rows), token_budget)


def _numbers(share: Loss) -> Loss:
    """Without the graph that the gradient came from."""
    return Loss(share.value.detach(), {name: value.detach() for name, value in share.metrics.items()})


def _sums(shares: Sequence[Loss]) -> dict[str, float]:
    """Loss and metrics over all shares.  A device is waited for once, not for each number."""
    names = [name for share in shares for name in ("loss", *share.metrics)]
    values = [value for share in shares for value in (share.value, *share.metrics.values())]
    sums: dict[str, float] = {"loss": 0.0}
    for name, value in zip(names, _read(values), strict=True):
        sums[name] = sums.get(name, 0.0) + value
    return sums


def _read(values: Sequence[Tensor]) -> list[float]:
    """Scalars of one device as numbers."""
    if not values or values[0].device.type == "cpu":
        return [value.item() for value in values]
    return torch.stack(list(values)).tolist()


def accumulate_within_memory(
    policy: nn.Module,
    objective: Objective,
    examples: Examples,
    indices: Sequence[int],
    token_budget: int,
    scale: Scale = lambda loss: loss,
    min_tokens: int = 64,
) -> StepResult:
    """As `accumulate`; running out of memory halves the budget and does the step again, from the same random state.

    Raises TrainingError when a micro-batch of one example doesn't fit.
    """
    randoms = random_states()
    while True:
        try:
            return accumulate(policy, objective, examples, indices, token_budget, scale)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            if token_budget <= min_tokens:
                raise TrainingError(
                    "out of memory, even with one row at a time; lower block_size, or set peft: true with quantization: int4"
                ) from error
        policy.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        restore_random_states(randoms)
        token_budget = max(min_tokens, token_budget // 2)


def _is_out_of_memory(error: Exception) -> bool:
    """Of the processor's memory, torch says it in a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


@torch.no_grad()
def evaluate(
    policy: nn.Module, objective: Objective, examples: Examples, token_budget: int, should_stop: Callable[[], bool]
) -> dict[str, float]:
    """Loss and metrics over the whole of `examples`, in evaluation mode.  Raises Stop if `should_stop()` turns true."""

    def check() -> None:
        if should_stop():
            raise Stop

    was_training = policy.training
    policy.eval()
    store = examples.store
    parts = cut(range(len(store)), store.num_tokens, token_budget)
    shares: list[Loss] = []
    try:
        counts = store.counts(range(len(store)))
        step = _prepare(policy, objective, examples, counts, parts, check)
        for share in step.shares():
            shares.append(_numbers(share))
            check()
    finally:
        policy.train(was_training)
    return _sums(shares)
