"""Bradley-Terry on scores, worked by hand."""

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from worked_steps import Part, assert_cutting_changes_nothing, build, total

from autotrain.types import Counts, Facts, Scores

REWARD = build("reward")
# (score of the chosen, of the rejected, margin)
FIVE = [(1.0, 0.5, 0.0), (-0.2, 0.3, 1.0), (2.0, -2.0, 0.5), (0.0, 0.0, 0.0), (-3.0, -3.5, 0.2)]


def on_scores(objective, rows, cuts=()):
    edges = [0, *cuts, len(rows)]
    parts = []
    for start, end in pairwise(edges):
        some = rows[start:end]
        scores = torch.tensor([score for chosen, rejected, _ in some for score in (chosen, rejected)], requires_grad=True)
        facts = Facts(torch.tensor([margin for *_, margin in some]), torch.zeros(len(some)))
        parts.append(Part(Scores(scores), None, facts))
    loss, metrics, gradients = total(objective, parts, Counts(0, 2 * len(rows), len(rows)))
    return SimpleNamespace(loss=loss, metrics=metrics, gradients=gradients)


def test_a_pair_costs_the_lead_of_its_score():
    result = on_scores(REWARD, [(1.5, 0.5, 0.0)])
    assert result.loss == pytest.approx(0.3133, abs=1e-4)  # -log sigmoid(1) = log(1 + 1/e)
    assert result.metrics == pytest.approx(
        {"rewards/chosen": 1.5, "rewards/rejected": 0.5, "rewards/accuracies": 1.0, "rewards/margins": 1.0}
    )


def test_a_margin_is_taken_off_the_lead():
    assert on_scores(REWARD, [(1.5, 0.5, 1.0)]).loss == pytest.approx(math.log(2))  # -log sigmoid(1 - 1)


def test_centering_charges_the_square_of_the_sum():
    centered = on_scores(build("reward", reward_centering=0.1), [(1.5, 0.5, 0.0)])
    assert centered.loss == pytest.approx(math.log(1 + math.exp(-1)) + 0.1 * (1.5 + 0.5) ** 2, rel=1e-6)


def test_adding_to_both_scores_changes_nothing_unless_they_are_centered():
    lifted = [(11.5, 10.5, 0.0)]
    assert on_scores(REWARD, lifted).loss == pytest.approx(on_scores(REWARD, [(1.5, 0.5, 0.0)]).loss)
    assert on_scores(build("reward", reward_centering=0.1), lifted).loss > 1


def test_a_better_chosen_score_costs_less():
    assert on_scores(REWARD, [(1.6, 0.5, 0.0)]).loss < on_scores(REWARD, [(1.5, 0.5, 0.0)]).loss


def test_descent_raises_the_chosen_score_and_lowers_the_rejected():
    (gradient,) = on_scores(REWARD, [(1.0, 1.0, 0.0)]).gradients
    assert gradient.tolist() == pytest.approx([-0.5, 0.5])  # sigmoid(0)


def test_equal_scores_are_no_success():
    assert on_scores(REWARD, FIVE).metrics["rewards/accuracies"] == pytest.approx(3 / 5)


@pytest.mark.parametrize("centering", [0.0, 0.1])
def test_cutting_the_step_changes_nothing(centering):
    objective = build("reward", reward_centering=centering)
    assert_cutting_changes_nothing(lambda cuts: on_scores(objective, FIVE, cuts))


@pytest.mark.parametrize("row", [(1e4, -1e4, 0.0), (-1e4, 1e4, 0.0), (0.0, 0.0, 0.0)])
def test_extremes_are_finite(row):
    result = on_scores(REWARD, [row])
    assert math.isfinite(result.loss) and torch.cat(result.gradients).isfinite().all()


def test_it_sees_scores_and_no_reference():
    assert (REWARD.sample, REWARD.head, REWARD.needs_reference) == ("pair", "score", False)
