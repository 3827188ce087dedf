"""KTO, worked by hand."""

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from worked_steps import Part, assert_cutting_changes_nothing, build, logprobs, total

from autotrain.types import Counts, Facts

KTO = build("kto", dpo_beta=0.5, kto_desirable_weight=1.0, kto_undesirable_weight=2.0)
# (log-probabilities of the answer's tokens, the reference's sum, whether it is good)
FIVE = [
    ([-1.0, -0.5], -2.0, True),
    ([-2.0], -1.5, False),
    ([-0.2, -0.3], -1.5, True),
    ([-3.0], -2.8, False),
    ([-1.0], -1.0, True),
]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def on_rows(objective, rows, cuts=()):
    edges = [0, *cuts, len(rows)]
    parts = []
    for start, end in pairwise(edges):
        some = rows[start:end]
        labels = torch.tensor([float(good) for *_, good in some])
        policy = logprobs([answer for answer, *_ in some])
        parts.append(Part(policy, logprobs([[sum_] for _, sum_, _ in some]), Facts(torch.zeros(len(some)), labels)))
    counts = Counts(sum(len(answer) for answer, *_ in rows), len(rows), len(rows))
    loss, metrics, gradients = total(objective, parts, counts)
    return SimpleNamespace(loss=loss, metrics=metrics, gradients=gradients)


def test_a_step_costs_its_surprises_by_their_weights():
    # log-ratios 2 and -1; z = (2 - 1) / 2 = 0.5; surprises 0.5 * (0.5 - 2) and 0.5 * (-1 - 0.5)
    result = on_rows(KTO, [([-1.0], -3.0, True), ([-2.0], -1.0, False)])
    assert result.loss == pytest.approx((1.0 * sigmoid(-0.75) + 2.0 * sigmoid(-0.75)) / 2, rel=1e-6)
    assert result.metrics == pytest.approx(
        {
            "kl": 0.5,
            "rewards/chosen": 1.0,
            "rewards/rejected": -0.5,
            "rewards/margins": 1.5,
            "logps/chosen": -1.0,
            "logps/rejected": -2.0,
        }
    )


def test_the_divergence_is_never_below_zero():
    result = on_rows(KTO, [([-3.0], -1.0, True), ([-2.0], -1.0, False)])  # log-ratios -2 and -1
    assert result.metrics["kl"] == 0.0
    assert result.loss == pytest.approx((sigmoid(0.5 * 2) + 2 * sigmoid(0.5 * -1)) / 2, rel=1e-6)


def test_equal_policy_and_reference_cost_half_the_weight():
    same = [([-1.0, -2.0], -3.0, True), ([-4.0], -4.0, False)]
    assert on_rows(KTO, same).loss == pytest.approx((1.0 + 2.0) / 2 / 2)  # sigmoid(0) = 1/2


def test_a_likelier_good_answer_costs_less_and_a_likelier_bad_one_more():
    base = [([-3.0], -1.0, True), ([-2.0], -1.0, False)]
    loss = on_rows(KTO, base).loss
    assert on_rows(KTO, [([-2.9], -1.0, True), base[1]]).loss < loss < on_rows(KTO, [base[0], ([-1.9], -1.0, False)]).loss


def test_descent_raises_good_answers_and_lowers_bad_ones():
    good, bad = on_rows(KTO, [([-1.0], -1.0, True), ([-2.0], -2.0, False)], cuts=(1,)).gradients
    # w * beta * sigmoid'(0) / rows; the divergence is not differentiated
    assert (good.item(), bad.item()) == pytest.approx((-0.5 * 0.25 / 2, 2 * 0.5 * 0.25 / 2))


def test_cutting_the_step_changes_nothing():
    assert_cutting_changes_nothing(lambda cuts: on_rows(KTO, FIVE, cuts))


@pytest.mark.parametrize("label", [True, False])
def test_a_step_of_one_kind_has_no_metrics_of_the_other(label):
    metrics = on_rows(KTO, [(answer, sum_, label) for answer, sum_, _ in FIVE], cuts=(2,)).metrics
    assert metrics.keys() == {"kl", *(f"{kind}/{'chosen' if label else 'rejected'}" for kind in ("rewards", "logps"))}


@pytest.mark.parametrize("logp", [0.0, -1e4])
@pytest.mark.parametrize("reference", [0.0, -1e4])
@pytest.mark.parametrize("label", [True, False])
def test_extremes_are_finite(logp, reference, label):
    result = on_rows(KTO, [([logp], reference, label), ([-1.0], -1.0, not label)])
    assert math.isfinite(result.loss) and torch.cat(result.gradients).isfinite().all()


def test_it_takes_single_answers_and_looks_at_the_whole_step():
    assert (KTO.sample, KTO.sequences_per_example) == ("labelled", 1)
    assert KTO.needs_reference and KTO.needs_whole_step
