"""One optimizer step, however it is cut; and one validation pass, which is the same without gradients."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autotrain.data.batches import collate, cut
from autotrain.data.store import ExampleStore
from autotrain.errors import TrainingError
from autotrain.models.transfer import to_device
from autotrain.objectives.base import Objective
from autotrain.ranks import ALONE, Ranks
from autotrain.training.checkpoint import random_states, restore_random_states
from autotrain.training.deal import deal
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
    num_idle: after them, so many times one example is computed for nothing, because other processes aren't done.
    """

    policy: Predict
    objective: Objective
    examples: Examples
    counts: Counts
    parts: Sequence[Sequence[int]]
    whole: Sequence[Any]
    num_idle: int = 0
    idle_example: int = 0

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
            share = self.objective.loss(output, reference, self.counts, facts=facts, step=whole)
            yield share if share.value.requires_grad or not torch.is_grad_enabled() else _tied_to(output, share)
        for _ in range(self.num_idle):
            yield _tied_to(self.predict([self.idle_example])[0], Loss(torch.zeros(())))


def _tied_to(output: LogProbs | Scores, share: Loss) -> Loss:
    """The same value, with a gradient of 0 for all that `output` came from: processes wait for each other's gradients."""
    values = output.values if isinstance(output, Scores) else output.per_token
    return Loss(share.value.to(values.device) + 0.0 * values.sum(), share.metrics)


def _prepare(step: _Pass, ranks: Ranks, check: Callable[[], None] = lambda: None) -> _Pass:
    """Objectives that look at the whole step see it here, in a pass without gradient and from the same random state."""
    if not step.objective.needs_whole_step:
        return step
    randoms = random_states()
    outputs: list[Prediction] = []
    with torch.no_grad():
        for part in step.parts:
            check()
            outputs.append(step.predict(part))
        for _ in range(step.num_idle):
            step.predict([step.idle_example])
    restore_random_states(randoms)
    of_all = ranks.gather(_moved(outputs, torch.device("cpu"))) if ranks.total > 1 else [outputs]
    policies, references, facts = zip(*(output for of_one in of_all for output in of_one), strict=True)
    whole = step.objective.whole_step(policies, references, facts)
    first = sum(len(of_one) for of_one in of_all[: ranks.rank])
    mine = whole[first : first + len(step.parts)]
    return replace(step, whole=_moved(mine, _device_of(outputs)) if ranks.total > 1 and outputs else mine)


def _device_of(outputs: Sequence[Prediction]) -> torch.device | None:
    first = outputs[0][0] if outputs else None
    if first is None:
        return None
    return first.values.device if isinstance(first, Scores) else first.per_token.device


def _moved(value: Any, device: torch.device | None) -> Any:
    """The same lists, tuples and records with their tensors on another device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(_moved(one, device) for one in value)  # pyright: ignore[reportUnknownVariableType]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _moved(getattr(value, one.name), device) for one in fields(value)})
    return value


def _plan(
    policy: Predict,
    objective: Objective,
    examples: Examples,
    indices: Sequence[int],
    token_budget: int,
    ranks: Ranks,
    least_parts: int,
) -> _Pass:
    """This process's part of a step or of a validation.

    least_parts: as many micro-batches at least; where the model is cut up among processes, all take equally many.
    """
    store = examples.store
    shares = deal(indices, store.num_tokens, ranks.total)
    cuts = [cut(share, store.num_tokens, token_budget) for share in shares]
    parts = cuts[ranks.rank]
    wanted = max(least_parts, *map(len, cuts)) if ranks.way == "fsdp" else least_parts
    idle = max(0, wanted - len(parts))
    shortest = min(indices, key=lambda index: (int(store.num_tokens[index]), index)) if idle else 0
    return _Pass(policy, objective, examples, store.counts(indices), parts, [None] * len(parts), idle, shortest)


def accumulate(
    policy: Predict,
    objective: Objective,
    examples: Examples,
    indices: Sequence[int],
    token_budget: int,
    scale: Scale = lambda loss: loss,
    ranks: Ranks = ALONE,
) -> StepResult:
    """Forward and backward over the examples of one step; gradients add up in the parameters.

    Loss and gradients don't depend on `token_budget`, the largest number of tokens of a micro-batch, nor on how many
    `ranks` share the work: each sees the indices of the whole step and computes its part.
    scale: what is done to a loss before its backward pass (fp16 multiplies it).
    """
    step = _plan(policy, objective, examples, indices, token_budget, ranks, least_parts=1 if ranks.total > 1 else 0)
    step = _prepare(step, ranks)
    shares: list[Loss] = []
    num_parts = len(step.parts) + step.num_idle
    for number, share in enumerate(step.shares()):
        if share.value.requires_grad:
            with ranks.gradients_of(policy, is_last=number == num_parts - 1):
                # DDP and FSDP take the mean over processes; the loss is a sum over them.
                torch.autograd.backward(scale(share.value * ranks.total if ranks.total > 1 else share.value))
        shares.append(_numbers(share))
    mine = [index for part in step.parts for index in part]
    attended = attended_tokens(examples.store[index] for index in mine)
    sums = _sums(shares, ranks, {"attended": float(attended)})
    num_tokens = int(examples.store.num_tokens[np.asarray(indices, np.int64)].sum())
    return StepResult(sums.pop("loss"), sums, step.counts, num_tokens, int(sums.pop("attended")), token_budget)


def _numbers(share: Loss) -> Loss:
    """Without the graph that the gradient came from."""
    return Loss(share.value.detach(), {name: value.detach() for name, value in share.metrics.items()})


def _sums(shares: Sequence[Loss], ranks: Ranks, others: Mapping[str, float]) -> dict[str, float]:
    """Loss, metrics and `others` over all shares of all processes.  A device is waited for once, not for each number."""
    names = [name for share in shares for name in ("loss", *share.metrics)]
    values = [value for share in shares for value in (share.value, *share.metrics.values())]
    sums: dict[str, float] = {"loss": 0.0, **others}
    for name, value in zip(names, _read(values), strict=True):
        sums[name] = sums.get(name, 0.0) + value
    if ranks.total == 1:
        return sums
    # A process without rows knows no metrics.
    known = list(dict.fromkeys(name for of_one in ranks.gather(list(sums)) for name in of_one))
    return dict(zip(known, ranks.add([sums.get(name, 0.0) for name in known]), strict=True))


def _read(values: Sequence[Tensor]) -> list[float]:
    """Scalars of one device as numbers."""
    if all(value.device.type == "cpu" for value in values):
        return [value.item() for value in values]
    device = next(value.device for value in values if value.device.type != "cpu")
    return torch.stack([value.to(device) for value in values]).tolist()


def accumulate_within_memory(
    policy: nn.Module,
    objective: Objective,
    examples: Examples,
    indices: Sequence[int],
    token_budget: int,
    scale: Scale = lambda loss: loss,
    min_tokens: int = 64,
    ranks: Ranks = ALONE,
) -> StepResult:
    """As `accumulate`; running out of memory halves the budget and does the step again, from the same random state.

    One of several processes can't do it again, since the others wait for its gradients.
    Raises TrainingError when a micro-batch of one example doesn't fit.
    """
    randoms = random_states()
    while True:
        try:
            return accumulate(policy, objective, examples, indices, token_budget, scale, ranks)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if ranks.total > 1:
                raise TrainingError(
                    f"out of memory with {token_budget:,} tokens a micro-batch; lower block_size, set distributed_backend: "
                    "fsdp, take more devices, or set peft: true with quantization: int4"
                ) from error
            if token_budget <= min_tokens:
                raise TrainingError(
                    "out of memory, even with one row at a time; lower block_size, or set peft: true with quantization: int4"
                ) from error
        policy.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        restore_random_states(randoms)
        token_budget = max(min_tokens, token_budget // 2)


def is_out_of_memory(error: Exception) -> bool:
    """Of the processor's memory, torch says it in a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


@torch.no_grad()
def evaluate(
    policy: nn.Module,
    objective: Objective,
    examples: Examples,
    token_budget: int,
    should_stop: Callable[[], bool],
    ranks: Ranks = ALONE,
) -> dict[str, float]:
    """Loss and metrics over the whole of `examples`, in evaluation mode.

    Raises Stop if `should_stop()` turns true; of several processes, none leaves the others alone.
    """

    def check() -> None:
        if ranks.total == 1 and should_stop():
            raise Stop

    was_training = policy.training
    policy.eval()
    try:
        step = _plan(policy, objective, examples, range(len(examples.store)), token_budget, ranks, least_parts=0)
        step = _prepare(step, ranks, check)
        shares: list[Loss] = []
        for share in step.shares():
            shares.append(_numbers(share))
            check()
    finally:
        policy.train(was_training)
    return _sums(shares, ranks, {})
