"""Direct preference optimisation and its variants: the objective of `dpo` and `ipo`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from autotrain.objectives.base import PairObjective
from autotrain.objectives.sequences import chosen_nll, pair_metrics, pairs, sequence_lengths, sequence_sums
from autotrain.types import Counts, Facts, LogProbs, Loss, Scores

NAMES = ("dpo", "ipo")

# EXO's target can't be certain; this is what its paper takes.
_EXO_LABEL_SMOOTHING = 1e-3


@dataclass(frozen=True, slots=True)
class StepView:
    """What a micro-batch needs of its whole step.

    opposite: (P,) the reference's log p(chosen) - log p(rejected) that has the rank among the step's which the
    policy's has for this pair.  mean_reward: scalar, the mean reward of all answers of the step.
    """

    opposite: Tensor
    mean_reward: Tensor


@dataclass(frozen=True, slots=True)
class Terms:
    """What the formulas are made of; tensors are (P,) float32.

    chosen, rejected: log-ratios log pi(y|x) - log pi_ref(y|x).  chosen_length, rejected_length: tokens.
    policy_gap: log pi(chosen|x) - log pi(rejected|x).  label_smoothing: probability that a label is wrong.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_length: Tensor
    rejected_length: Tensor
    policy_gap: Tensor
    beta: float
    label_smoothing: float
    step: StepView | None

    @property
    def margin(self) -> Tensor:
        """h = beta * (log-ratio of the chosen - log-ratio of the rejected): the margin of the implicit rewards."""
        return self.beta * (self.chosen - self.rejected)


def _smoothed(margin: Tensor, label_smoothing: float) -> Tensor:
    """-(1 - e) log s(h) - e log s(-h)."""
    return -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)


def _sigmoid(terms: Terms) -> Tensor:
    """-log s(h), DPO (arXiv 2305.18290, eq. 7); with label_smoothing e, conservative DPO: the smoothed one of that."""
    return _smoothed(terms.margin, terms.label_smoothing)


def _sigmoid_norm(terms: Terms) -> Tensor:
    """DPO with each log-ratio divided by its answer's length, as SimPO divides (arXiv 2405.14734, section 2.2)."""
    gap = terms.chosen / terms.chosen_length - terms.rejected / terms.rejected_length
    return _smoothed(terms.beta * gap, terms.label_smoothing)


def _ipo(terms: Terms) -> Tensor:
    """(gap - 1 / (2 beta))^2, IPO (arXiv 2310.12036, eq. 17, whose tau is beta).

    The gap is of log-ratios per token, as its authors computed it; the paper writes sums, whose squares would grow
    with the length of the answers.
    """
    gap = terms.chosen / terms.chosen_length - terms.rejected / terms.rejected_length
    return (gap - 1 / (2 * terms.beta)) ** 2


def _hinge(terms: Terms) -> Tensor:
    """max(0, 1 - h), SLiC (arXiv 2305.10425, section 2) on DPO's rewards, as RSO has it (arXiv 2309.06657)."""
    return torch.relu(1 - terms.margin)


def _robust(terms: Terms) -> Tensor:
    """(-(1 - e) log s(h) + e log s(-h)) / (1 - 2e), unbiased under labels flipped with probability e.

    Robust DPO (arXiv 2403.00409, section 3).  It may be negative.
    """
    flip = terms.label_smoothing
    return (flip * logsigmoid(-terms.margin) - (1 - flip) * logsigmoid(terms.margin)) / (1 - 2 * flip)


def _apo_zero(terms: Terms) -> Tensor:
    """s(-beta chosen) + s(beta rejected), APO-zero (arXiv 2408.06266, eq. 7): up with the chosen, down with the other."""
    return torch.sigmoid(-terms.beta * terms.chosen) + torch.sigmoid(terms.beta * terms.rejected)


def _apo_down(terms: Terms) -> Tensor:
    """s(beta chosen) + s(-h), APO-down (arXiv 2408.06266, eq. 8): both down, the rejected more."""
    return torch.sigmoid(terms.beta * terms.chosen) + torch.sigmoid(-terms.margin)


def _exo_pair(terms: Terms) -> Tensor:
    """KL(q || p) of q = (s(h), s(-h)) to the labels p = (1 - e, e), EXO-pref (arXiv 2402.00856, eq. 16)."""
    doubt = torch.as_tensor(terms.label_smoothing or _EXO_LABEL_SMOOTHING, device=terms.chosen.device)
    margin = terms.margin
    for_chosen = torch.sigmoid(margin) * (logsigmoid(margin) - torch.log1p(-doubt))
    return for_chosen + torch.sigmoid(-margin) * (logsigmoid(-margin) - torch.log(doubt))


def _nca_pair(terms: Terms) -> Tensor:
    """-log s(r_c) - log s(-r_c) / 2 - log s(-r_r) / 2 with r = beta log-ratio, NCA (arXiv 2402.05369, section 4)."""
    chosen, rejected = terms.beta * terms.chosen, terms.beta * terms.rejected
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def _bco_pair(terms: Terms) -> Tensor:
    """-log s(r_c - d) - log s(-(r_r - d)), d the mean reward, not differentiated: BCO (arXiv 2404.04656, section 3).

    The mean is that of the whole step.  TRL took a running mean over the past batches, and later none (d = 0).
    """
    assert terms.step is not None
    shift = terms.step.mean_reward
    return -logsigmoid(terms.beta * terms.chosen - shift) - logsigmoid(shift - terms.beta * terms.rejected)


def _sppo_hard(terms: Terms) -> Tensor:
    """(chosen - 1/(2 beta))^2 + (rejected + 1/(2 beta))^2, SPPO (arXiv 2405.00675, eq. 4.7) with P = 1 for the chosen."""
    return (terms.chosen - 0.5 / terms.beta) ** 2 + (terms.rejected + 0.5 / terms.beta) ** 2


def _aot(terms: Terms) -> Tensor:
    """DPO's loss between sorted gaps: AOT for pairs (arXiv 2406.05882, section 3).

    The k-th smallest log pi(chosen) - log pi(rejected) of the step is held against the k-th smallest of the reference.
    """
    assert terms.step is not None
    return _smoothed(terms.beta * (terms.policy_gap - terms.step.opposite), terms.label_smoothing)


FORMULAS: Mapping[str, Callable[[Terms], Tensor]] = MappingProxyType(
    {
        "sigmoid": _sigmoid,
        "ipo": _ipo,
        "hinge": _hinge,
        "robust": _robust,
        "apo_zero": _apo_zero,
        "apo_down": _apo_down,
        "exo_pair": _exo_pair,
        "nca_pair": _nca_pair,
        "bco_pair": _bco_pair,
        "sppo_hard": _sppo_hard,
        "aot": _aot,
        "sigmoid_norm": _sigmoid_norm,
    }
)
_OF_WHOLE_STEP = frozenset({"aot", "bco_pair"})


@dataclass(frozen=True)
class DpoObjective(PairObjective):
    """sum_k w_k (1/P) sum_pairs formula_k + rpo_alpha * NLL of the chosen answers.  P: pairs of the step.

    weights: formula's name -> its weight w_k.  The last term is RPO's (arXiv 2404.19733), over the tokens of the
    whole step as TRL has it; the paper divides each answer's by its own length.
    """

    weights: Mapping[str, float]
    beta: float = 0.1
    label_smoothing: float = 0.0
    rpo_alpha: float = 0.0

    needs_reference = True

    @property
    def needs_whole_step(self) -> bool:
        return not _OF_WHOLE_STEP.isdisjoint(self.weights)

    def loss(
        self,
        policy: LogProbs | Scores,
        reference: LogProbs | None,
        counts: Counts,
        *,
        facts: Facts | None = None,
        step: StepView | None = None,
    ) -> Loss:
        """step: needed by aot and bco_pair."""
        assert isinstance(policy, LogProbs) and reference is not None
        sums = sequence_sums(policy)  # (S,)
        terms = self._terms(sums, reference, sequence_lengths(policy), step)
        losses = torch.stack([weight * FORMULAS[name](terms) for name, weight in self.weights.items()])
        value = losses.sum() / counts.examples
        metrics = pair_metrics((self.beta * terms.chosen, self.beta * terms.rejected), counts, pairs(sums))
        if self.rpo_alpha:
            nll = chosen_nll(sums, counts)
            value, metrics["nll_loss"] = value + self.rpo_alpha * nll, nll.detach()
        return Loss(value, metrics)

    def _terms(self, sums: Tensor, reference: LogProbs, lengths: Tensor, step: StepView | None) -> Terms:
        (chosen, rejected), (chosen_length, rejected_length) = pairs(sums), pairs(lengths)
        reference_chosen, reference_rejected = pairs(sequence_sums(reference).to(sums.device))
        return Terms(
            chosen=chosen - reference_chosen,
            rejected=rejected - reference_rejected,
            chosen_length=chosen_length,
            rejected_length=rejected_length,
            policy_gap=chosen - rejected,
            beta=self.beta,
            label_smoothing=self.label_smoothing,
            step=step,
        )

    def whole_step(
        self, policy: Sequence[LogProbs | Scores], reference: Sequence[LogProbs | None], facts: Sequence[Facts]
    ) -> Sequence[StepView]:
        """Sorts the gaps of the step, and takes the mean of its rewards."""
        ours = [sequence_sums(part) for part in policy if isinstance(part, LogProbs)]
        theirs = [sequence_sums(part).to(ours[0].device) for part in reference if part is not None]
        opposite = _opposite(_gaps(torch.cat(ours)), _gaps(torch.cat(theirs)))
        mean_reward = self.beta * (torch.cat(ours) - torch.cat(theirs)).mean()
        sizes = [len(part) // self.sequences_per_example for part in ours]
        return [StepView(part, mean_reward) for part in opposite.split(sizes)]


def _gaps(sums: Tensor) -> Tensor:
    chosen, rejected = pairs(sums)
    return chosen - rejected


def _opposite(ours: Tensor, theirs: Tensor) -> Tensor:
    """(P,): for each of `ours`, the one of `theirs` that has the same rank."""
    order = torch.argsort(ours, stable=True)
    return torch.empty_like(theirs).scatter(0, order, theirs.sort().values)


def from_settings(settings: Mapping[str, Any]) -> DpoObjective:
    """dpo_beta, label_smoothing, rpo_alpha, and for `dpo` loss_type (one name or several) and loss_weights (or None)."""
    if settings["trainer"] == "ipo":
        return DpoObjective({"ipo": 1.0}, settings["dpo_beta"], rpo_alpha=settings["rpo_alpha"])
    given = settings["loss_type"]
    names: Sequence[str] = [given] if isinstance(given, str) else given
    weights = settings["loss_weights"] or [1.0] * len(names)
    return DpoObjective(
        MappingProxyType(dict(zip(names, weights, strict=True))),
        settings["dpo_beta"],
        settings["label_smoothing"],
        settings["rpo_alpha"],
    )
