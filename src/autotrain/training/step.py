"""One optimizer step, however it is cut; and one validation pass, which is the same without gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autotrain.data.batches import collate, count, cut
from autotrain.data.store import ExampleStore
from autotrain.errors import TrainingError
from autotrain.objectives.base import Objective
from autotrain.training.checkpoint import random_states, restore_random_states
from autotrain.types import Batch, Counts, LogProbs

LogProbsOf = Callable[[Batch], LogProbs]


@dataclass(frozen=True)
class StepResult:
    """loss and metrics: means over the whole step.  token_budget: as it was in the end."""

    loss: float
    metrics: Mapping[str, float]
    counts: Counts
    num_tokens: int
    token_budget: int


class Stop(Exception):
    """Raised between two micro-batches of a validation when the user asked to stop."""


def accumulate(
    policy: LogProbsOf,
    objective: Objective,
    store: ExampleStore,
    indices: Sequence[int],
    token_budget: int,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
) -> StepResult:
    """Forward and backward over the examples of one step; gradients add up in the parameters.

    Loss and gradients don't depend on `token_budget`, the largest number of tokens of a micro-batch.
    scale: what is done to a loss before its backward pass (fp16 multiplies it).
    """
    examples = [store[index] for index in indices]
    counts = count(examples)
    loss, metrics = 0.0, {}
    for part in cut(range(len(examples)), [example.num_tokens for example in examples], token_budget):
        share = objective.loss(policy(collate([examples[index] for index in part])), None, counts)
        if share.value.requires_grad:
            torch.autograd.backward(scale(share.value))
        loss += share.value.item()
        metrics = _added(metrics, share.metrics)
    return StepResult(loss, metrics, counts, sum(example.num_tokens for example in examples), token_budget)


def _added(sums: dict[str, float], shares: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: sums.get(name, 0.0) + value.item() for name, value in shares.items()}


def accumulate_within_memory(
    policy: nn.Module,
    objective: Objective,
    store: ExampleStore,
    indices: Sequence[int],
    token_budget: int,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
    min_tokens: int = 64,
) -> StepResult:
    """As `accumulate`; running out of memory halves the budget and does the step again, from the same random state.

    Raises TrainingError when a micro-batch of one example doesn't fit.
    """
    randoms = random_states()
    while True:
        try:
            return accumulate(policy, objective, store, indices, token_budget, scale)
        except (torch.OutOfMemoryError, MemoryError) as error:
            if token_budget <= min_tokens:
                raise TrainingError(
                    "out of memory, even with one row at a time; lower block_size, or set peft: true with quantization: int4"
                ) from error
        policy.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        restore_random_states(randoms)
        token_budget = max(min_tokens, token_budget // 2)


@torch.no_grad()
def evaluate(
    policy: nn.Module, objective: Objective, store: ExampleStore, token_budget: int, should_stop: Callable[[], bool]
) -> dict[str, float]:
    """Loss and metrics over the whole of `store`, in evaluation mode.  Raises Stop if `should_stop()` turns true."""
    was_training = policy.training
    policy.eval()
    counts = _count_all(store)
    sums: dict[str, float] = {"loss": 0.0}
    try:
        for part in cut(range(len(store)), store.num_tokens, token_budget):
            if should_stop():
                raise Stop
            share = objective.loss(policy(collate([store[index] for index in part])), None, counts)
            for name, value in {"loss": share.value, **share.metrics}.items():
                sums[name] = sums.get(name, 0.0) + value.item()
    finally:
        policy.train(was_training)
    return sums


def _count_all(store: ExampleStore) -> Counts:
    parts = [count([store[index]]) for index in range(len(store))]
    return Counts(*(sum(column) for column in zip(*((c.tokens, c.sequences, c.examples) for c in parts), strict=True)))
