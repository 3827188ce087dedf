"""SimPO, worked by hand."""

import math

import pytest
import torch
from worked_steps import FIVE, Pair, assert_cutting_changes_nothing, build, gradient_of, on_pairs

SIMPO = build("simpo", simpo_beta=2.0, simpo_gamma=1.0)
# Means: chosen -0.75, rejected -2; 2 * (-0.75 + 2) - 1 = 1.5
ONE = Pair([-1.0, -0.5], [-2.0])


def test_a_pair_costs_the_lead_of_its_means_beyond_the_margin():
    result = on_pairs(SIMPO, ONE)
    assert result.loss == pytest.approx(math.log(1 + math.exp(-1.5)), rel=1e-6)  # -log sigmoid(1.5) = 0.2014
    assert result.metrics == pytest.approx(
        {
            "rewards/chosen": -1.5,
            "rewards/rejected": -4.0,
            "rewards/accuracies": 1.0,
            "rewards/margins": 2.5,
            "logps/chosen": -0.75,
            "logps/rejected": -2.0,
        }
    )


def test_repeating_an_answers_tokens_changes_nothing():
    assert on_pairs(SIMPO, Pair([-1.0, -0.5] * 3, [-2.0] * 2)).loss == pytest.approx(on_pairs(SIMPO, ONE).loss, rel=1e-6)


def test_a_likelier_chosen_answer_costs_less_and_a_likelier_rejected_one_more():
    base = on_pairs(SIMPO, ONE).loss
    assert on_pairs(SIMPO, Pair([-0.9, -0.5], [-2.0])).loss < base < on_pairs(SIMPO, Pair([-1.0, -0.5], [-1.9])).loss


def test_descent_raises_the_chosen_answer_and_lowers_the_rejected():
    result = on_pairs(SIMPO, ONE)
    weight = 1 / (1 + math.exp(1.5))  # sigmoid(-1.5)
    assert gradient_of(result, 0) == pytest.approx([-2 * weight / 2] * 2, rel=1e-5)  # beta / length
    assert gradient_of(result, 1) == pytest.approx([2 * weight], rel=1e-5)


def test_cutting_the_step_changes_nothing():
    assert_cutting_changes_nothing(lambda cuts: on_pairs(SIMPO, *FIVE, cuts=cuts))


@pytest.mark.parametrize("chosen", [0.0, -1e4])
@pytest.mark.parametrize("rejected", [0.0, -1e4])
def test_extremes_are_finite(chosen, rejected):
    result = on_pairs(SIMPO, Pair([chosen], [rejected]))
    assert math.isfinite(result.loss) and torch.cat(result.gradients).isfinite().all()


def test_it_needs_no_reference_and_no_whole_step():
    assert not SIMPO.needs_reference and not SIMPO.needs_whole_step
