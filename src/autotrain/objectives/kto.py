"""Kahneman-Tversky optimisation, from answers that are good or bad by themselves: the objective of `kto`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autotrain.objectives.base import Head, Sample
from autotrain.objectives.sequences import sequence_sums
from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

NAMES = ("kto",)


@dataclass(frozen=True, slots=True)
class StepView:
    """Of the whole step: kl, scalar, how far the policy is from its reference; its good and its bad answers."""

    kl: Tensor
    num_good: int
    num_bad: int


@dataclass(frozen=True)
class KtoObjective:
    """(1/R) sum_rows w s(-v), v = beta (log-ratio - z) of a good answer, beta (z - log-ratio) of a bad one.

    (arXiv 2402.01306, eq. 7 and 8)  R: rows of the step.  w: the label's weight, lambda_D or lambda_U.
    z, not differentiated, is an estimate of KL(policy || reference).  The paper takes max(0, mean log-ratio) of
    prompts with the answers of other rows, at the price of computing each answer twice; here it is max(0, mean
    log-ratio) of the step's own answers, good and bad, which the batch holds anyway.  It is the larger of the two
    where most answers are good; with as many bad ones it stays near 0.
    """

    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    sample: Sample = "labelled"
    head: Head = "causal"
    sequences_per_example: int = 1
    needs_reference: bool = True
    needs_whole_step: bool = True

    def loss(
        self,
        policy: LogProbs | Scores,
        reference: LogProbs | None,
        counts: Counts,
        *,
        facts: Facts | None = None,
        step: StepView | None = None,
    ) -> Loss:
        """`rewards/*` and `logps/*`: means over the good (chosen) and the bad (rejected) answers of the step."""
        assert isinstance(policy, LogProbs) and reference is not None and facts is not None and step is not None
        sums = sequence_sums(policy)  # (R,)
        ratio = sums - sequence_sums(reference).to(sums.device)
        is_good = facts.label > 0.5
        surprise = self.beta * torch.where(is_good, step.kl - ratio, ratio - step.kl)
        weight = torch.where(is_good, self.desirable_weight, self.undesirable_weight)
        value = (weight * torch.sigmoid(surprise)).sum() / counts.examples
        kl = step.kl * len(ratio) / counts.examples
        return Loss(value, {"kl": kl, **_metrics(self.beta * ratio.detach(), sums.detach(), is_good, step)})

    def whole_step(
        self, policy: Sequence[LogProbs | Scores], reference: Sequence[LogProbs | None], facts: Sequence[Facts]
    ) -> Sequence[StepView]:
        """Estimates the divergence, and counts the labels."""
        ours = torch.cat([sequence_sums(part) for part in policy if isinstance(part, LogProbs)])
        theirs = torch.cat([sequence_sums(part) for part in reference if part is not None]).to(ours.device)
        num_good = sum(int((part.label > 0.5).sum()) for part in facts)
        view = StepView((ours - theirs).mean().clamp(min=0), num_good, len(ours) - num_good)
        return [view] * len(policy)


def _metrics(rewards: Tensor, logps: Tensor, is_good: Tensor, step: StepView) -> dict[str, Tensor]:
    """A step without answers of one kind has no metrics of it."""
    found: dict[str, Tensor] = {}
    for name, which, number in (("chosen", is_good, step.num_good), ("rejected", ~is_good, step.num_bad)):
        if number:
            found[f"rewards/{name}"] = rewards[which].sum() / number
            found[f"logps/{name}"] = logps[which].sum() / number
    if step.num_good and step.num_bad:
        found["rewards/margins"] = found["rewards/chosen"] - found["rewards/rejected"]
    return found


def from_settings(settings: Mapping[str, Any]) -> KtoObjective:
    """dpo_beta, kto_desirable_weight, kto_undesirable_weight."""
    return KtoObjective(settings["dpo_beta"], settings["kto_desirable_weight"], settings["kto_undesirable_weight"])
