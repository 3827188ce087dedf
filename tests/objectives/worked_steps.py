"""Batches of log-probabilities made of numbers that stand in the tests."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from autotrain.objectives import build as build_objective
from autotrain.params import LLMTrainingParams
from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

Answer = Sequence[float]  # the log-probabilities of its tokens


@dataclass(frozen=True)
class Pair:
    """reference_*: sums, as those of one-token answers; prompt: its own tokens, where it is trained on."""

    chosen: Answer
    rejected: Answer
    reference_chosen: float = 0.0
    reference_rejected: float = 0.0
    prompt: Answer | None = None

    @property
    def sequences(self) -> list[Answer]:
        return [self.chosen, self.rejected, *([] if self.prompt is None else [self.prompt])]


def logprobs(sequences: Sequence[Answer]) -> LogProbs:
    """One flat row, tokens of the last sequence first: the order in a batch is nobody's business."""
    placed = [(value, place) for place, one in reversed(list(enumerate(sequences))) for value in one]
    return LogProbs(
        torch.tensor([value for value, _ in placed], requires_grad=True),
        torch.tensor([place for _, place in placed]),
        len(sequences),
    )


def build(trainer: str, **settings):
    """The objective of a trainer that users can choose, with these parameters."""
    return build_objective(trainer, LLMTrainingParams(trainer=trainer, **settings).model_dump())


@dataclass(frozen=True)
class Part:
    """A micro-batch as an objective sees it."""

    policy: LogProbs | Scores
    reference: LogProbs | None
    facts: Facts


def part_of(pairs: Sequence[Pair]) -> Part:
    reference = [[value] for pair in pairs for value in (pair.reference_chosen, pair.reference_rejected)]
    zeros = torch.zeros(len(pairs))
    return Part(logprobs([one for pair in pairs for one in pair.sequences]), logprobs(reference), Facts(zeros, zeros))


def counts_of(pairs: Sequence[Pair]) -> Counts:
    tokens = [sum(map(len, column)) for column in zip(*(pair.sequences for pair in pairs), strict=True)]
    return Counts(sum(tokens), len(tokens) * len(pairs), len(pairs), tuple(tokens))


def total(objective, parts: Sequence[Part], counts: Counts) -> tuple[float, Mapping[str, float], list[torch.Tensor]]:
    """As the loop does it: loss and metrics added up over the micro-batches, and the gradient of each."""
    whole: Sequence = [None] * len(parts)
    if objective.needs_whole_step:
        with torch.no_grad():
            whole = objective.whole_step([p.policy for p in parts], [p.reference for p in parts], [p.facts for p in parts])
    value, metrics, gradients = 0.0, {}, []
    for part, step in zip(parts, whole, strict=True):
        share: Loss = objective.loss(part.policy, part.reference, counts, facts=part.facts, step=step)
        given = part.policy.values if isinstance(part.policy, Scores) else part.policy.per_token
        gradients += torch.autograd.grad(share.value, given)
        value += share.value.item()
        for name, metric in share.metrics.items():
            assert not metric.requires_grad and metric.ndim == 0
            metrics[name] = metrics.get(name, 0.0) + metric.item()
    return value, metrics, gradients


def on_pairs(objective, *pairs: Pair, cuts: Sequence[int] = ()):
    """The loss of a step of these pairs, cut before each pair in `cuts`."""
    edges = [0, *cuts, len(pairs)]
    parts = [part_of(pairs[start:end]) for start, end in pairwise(edges)]
    value, metrics, gradients = total(objective, parts, counts_of(pairs))
    return SimpleNamespace(loss=value, metrics=metrics, gradients=gradients, parts=parts)


def assert_cutting_changes_nothing(run: Callable[[Sequence[int]], SimpleNamespace]) -> None:
    """`run` takes the places of the cuts, on a step of five."""
    whole = run(())
    for cuts in ((2,), (1, 3), (1, 2, 3, 4)):
        cut = run(cuts)
        assert cut.loss == pytest.approx(whole.loss, rel=1e-6)
        assert cut.metrics == pytest.approx(whole.metrics, rel=1e-5, abs=1e-6)
        assert sorted(torch.cat(cut.gradients).tolist()) == pytest.approx(sorted(whole.gradients[0].tolist()), rel=1e-5)


FIVE = (
    Pair([-1.0, -0.5], [-2.0], -1.6, -1.8),
    Pair([-0.2], [-0.3, -0.4, -0.1], -0.4, -0.6),
    Pair([-3.0, -1.0, -0.5], [-1.0, -1.0], -4.0, -2.5),
    Pair([-0.7, -0.7], [-2.5, -0.5], -1.0, -3.5),
    Pair([-1.1], [-0.9], -1.3, -1.2),
)


def gradient_of(result: SimpleNamespace, sequence: int) -> list[float]:
    """The gradient of the tokens of one sequence of an uncut step."""
    policy = result.parts[0].policy
    return result.gradients[0][policy.sequence == sequence].tolist()
