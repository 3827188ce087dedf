"""CPO, worked by hand."""

import math

import pytest
import torch
from worked_steps import FIVE, Pair, assert_cutting_changes_nothing, build, gradient_of, on_pairs

CPO = build("cpo", dpo_beta=0.5, cpo_alpha=2.0)
# Sums: chosen -1.5, rejected -2; 0.5 * 0.5 = 0.25.  NLL of the chosen tokens: 0.75
ONE = Pair([-1.0, -0.5], [-2.0])


def test_a_pair_costs_its_gap_and_the_nll_of_the_chosen_answer():
    result = on_pairs(CPO, ONE)
    assert result.loss == pytest.approx(math.log(1 + math.exp(-0.25)) + 2 * 0.75, rel=1e-6)
    assert result.metrics["nll_loss"] == pytest.approx(0.75)
    assert result.metrics["rewards/margins"] == pytest.approx(0.25)
    assert result.metrics["logps/chosen"] == pytest.approx(-1.5)


def test_the_nll_is_a_mean_over_the_chosen_tokens_of_the_step():
    metrics = on_pairs(CPO, Pair([-1.0], [-1.0]), Pair([-2.0, -3.0, -4.0], [-1.0]), cuts=(1,)).metrics
    assert metrics["nll_loss"] == pytest.approx(2.5)  # (1 + 2 + 3 + 4) / 4


def test_a_likelier_chosen_answer_costs_less_and_a_likelier_rejected_one_more():
    base = on_pairs(CPO, ONE).loss
    assert on_pairs(CPO, Pair([-0.9, -0.5], [-2.0])).loss < base < on_pairs(CPO, Pair([-1.0, -0.5], [-1.9])).loss


def test_descent_raises_the_chosen_answer_and_lowers_the_rejected():
    result = on_pairs(CPO, ONE)
    weight = 0.5 / (1 + math.exp(0.25))  # beta * sigmoid(-0.25)
    assert gradient_of(result, 0) == pytest.approx([-weight - 2 / 2] * 2, rel=1e-5)  # alpha / tokens of the step
    assert gradient_of(result, 1) == pytest.approx([weight], rel=1e-5)


def test_cutting_the_step_changes_nothing():
    assert_cutting_changes_nothing(lambda cuts: on_pairs(CPO, *FIVE, cuts=cuts))


@pytest.mark.parametrize("chosen", [0.0, -1e4])
@pytest.mark.parametrize("rejected", [0.0, -1e4])
def test_extremes_are_finite(chosen, rejected):
    result = on_pairs(CPO, Pair([chosen], [rejected]))
    assert math.isfinite(result.loss) and torch.cat(result.gradients).isfinite().all()
