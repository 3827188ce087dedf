"""DPO and its variants against the same formulas in plain arithmetic."""

import math
from typing import get_args

import pytest
import torch
from worked_steps import FIVE, Pair, assert_cutting_changes_nothing, build, gradient_of, on_pairs

from autotrain.objectives.dpo import FORMULAS
from autotrain.trainers.clm.names import LOSS_TYPES
from autotrain.trainers.clm.params import Trainer

# Log-ratios: chosen -1 - 0.5 + 2 = 0.5, rejected -2 + 1.7 = -0.3.  So the gap is 0.8, and 0.25 + 0.3 a token.
ONE = Pair([-1.0, -0.5], [-2.0], reference_chosen=-2.0, reference_rejected=-1.7)
BETA = 0.5


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def neg_log_sigmoid(x: float) -> float:
    return -math.log(sigmoid(x))


# h = 0.5 * 0.8 = 0.4; rewards r_c = 0.25, r_r = -0.15; label smoothing e = 0.1
BY_HAND = {
    "sigmoid": 0.9 * neg_log_sigmoid(0.4) + 0.1 * neg_log_sigmoid(-0.4),
    "sigmoid_norm": 0.9 * neg_log_sigmoid(0.5 * 0.55) + 0.1 * neg_log_sigmoid(-0.5 * 0.55),
    "ipo": (0.5 / 2 + 0.3 / 1 - 1 / (2 * 0.5)) ** 2,  # (0.55 - 1)^2 = 0.2025
    "hinge": 1 - 0.4,
    "robust": (0.9 * neg_log_sigmoid(0.4) - 0.1 * neg_log_sigmoid(-0.4)) / (1 - 2 * 0.1),
    "apo_zero": (1 - sigmoid(0.25)) + sigmoid(-0.15),
    "apo_down": sigmoid(0.25) + (1 - sigmoid(0.4)),
    "exo_pair": sigmoid(0.4) * math.log(sigmoid(0.4) / 0.9) + sigmoid(-0.4) * math.log(sigmoid(-0.4) / 0.1),
    "nca_pair": neg_log_sigmoid(0.25) + neg_log_sigmoid(-0.25) / 2 + neg_log_sigmoid(0.15) / 2,
    # the mean reward is (0.25 - 0.15) / 2 = 0.05
    "bco_pair": neg_log_sigmoid(0.25 - 0.05) + neg_log_sigmoid(-(-0.15 - 0.05)),
    "sppo_hard": (0.5 - 1.0) ** 2 + (-0.3 + 1.0) ** 2,  # 0.25 + 0.49
    # one pair is opposite to itself: log p(chosen) - log p(rejected) = 0.5, the reference's -0.3
    "aot": 0.9 * neg_log_sigmoid(0.5 * 0.8) + 0.1 * neg_log_sigmoid(-0.5 * 0.8),
}


def dpo(loss_type: str = "sigmoid", **settings):
    return build("dpo", **{"loss_type": loss_type, "dpo_beta": BETA} | settings)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_pair_costs_what_the_formula_says(loss_type):
    assert on_pairs(dpo(loss_type, label_smoothing=0.1), ONE).loss == pytest.approx(BY_HAND[loss_type], rel=1e-5)


def test_every_name_has_a_formula_and_the_other_way_round():
    assert set(LOSS_TYPES) == set(FORMULAS) == set(BY_HAND)
    assert "ipo" in get_args(Trainer)


def test_equal_policy_and_reference_cost_log_two():
    same = Pair([-1.0, -2.0], [-4.0], -3.0, -4.0)
    assert on_pairs(dpo(), same).loss == pytest.approx(0.6931, abs=1e-4)  # -log sigmoid(0)


def test_without_doubt_exo_takes_the_doubt_of_its_paper():
    expected = sigmoid(0.4) * math.log(sigmoid(0.4) / 0.999) + sigmoid(-0.4) * math.log(sigmoid(-0.4) / 0.001)
    assert on_pairs(dpo("exo_pair"), ONE).loss == pytest.approx(expected, rel=1e-5)


BETTER = Pair([-0.9, -0.5], [-2.0], -2.0, -1.7)
WORSE = Pair([-1.0, -0.5], [-1.9], -2.0, -1.7)


# APO-down pushes chosen answers down too, and SPPO's and IPO's aims are still ahead at these numbers.
@pytest.mark.parametrize("loss_type", sorted(set(LOSS_TYPES) - {"apo_down"}))
def test_a_likelier_chosen_answer_costs_less_and_a_likelier_rejected_one_more(loss_type):
    base = on_pairs(dpo(loss_type), ONE).loss
    assert on_pairs(dpo(loss_type), BETTER).loss < base < on_pairs(dpo(loss_type), WORSE).loss


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_descent_raises_the_chosen_answer_and_lowers_the_rejected(loss_type):
    result = on_pairs(dpo(loss_type), ONE)
    assert all(slope > 0 for slope in gradient_of(result, 1))
    assert all((slope < 0) is (loss_type != "apo_down") for slope in gradient_of(result, 0))


def test_apo_down_lowers_the_chosen_answer_less():
    result = on_pairs(dpo("apo_down"), Pair([-1.0], [-1.0], -1.0, -1.0))
    assert gradient_of(result, 0)[0] == pytest.approx(0.0)  # both terms pull with sigmoid'(0) * beta
    assert gradient_of(result, 1)[0] == pytest.approx(0.125)  # 0.5 * 0.25


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_cutting_the_step_changes_nothing(loss_type):
    objective = dpo(loss_type, label_smoothing=0.1, rpo_alpha=0.5)
    assert_cutting_changes_nothing(lambda cuts: on_pairs(objective, *FIVE, cuts=cuts))


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@pytest.mark.parametrize("chosen", [0.0, -1e4])
@pytest.mark.parametrize("rejected", [0.0, -1e4])
def test_extremes_are_finite(loss_type, chosen, rejected):
    for pair in (Pair([chosen], [rejected], -1.0, -1.0), Pair([-1.0], [-1.0], chosen, rejected)):
        result = on_pairs(dpo(loss_type), pair)
        assert math.isfinite(result.loss) and torch.cat(result.gradients).isfinite().all()


def test_aot_holds_the_sorted_gaps_of_the_step_against_the_references():
    # gaps: ours 3, 1, 2 and the reference's -1, 0, 4; sorted, 1 meets -1, 2 meets 0 and 3 meets 4
    step = [Pair([-1.0], [-4.0], -2.0, -1.0), Pair([-1.0], [-2.0], -3.0, -3.0), Pair([-2.0], [-4.0], -1.0, -5.0)]
    expected = (neg_log_sigmoid(0.5 * 2) + neg_log_sigmoid(0.5 * 2) + neg_log_sigmoid(0.5 * -1)) / 3
    assert on_pairs(dpo("aot"), *step).loss == pytest.approx(expected, rel=1e-6)
    assert on_pairs(dpo("aot"), *step, cuts=(1, 2)).loss == pytest.approx(expected, rel=1e-6)


def test_bco_shifts_by_the_mean_reward_of_the_whole_step():
    # log-ratios 2, -1 and 1, 4; rewards 1, -0.5, 0.5, 2; their mean 0.75
    step = [Pair([-1.0], [-2.0], -3.0, -1.0), Pair([-1.0], [-1.0], -2.0, -5.0)]
    rewards = [(1.0, -0.5), (0.5, 2.0)]
    expected = sum(neg_log_sigmoid(good - 0.75) + neg_log_sigmoid(0.75 - bad) for good, bad in rewards) / 2
    assert on_pairs(dpo("bco_pair"), *step, cuts=(1,)).loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_only_what_looks_at_the_whole_step_asks_for_it(loss_type):
    assert dpo(loss_type).needs_whole_step == (loss_type in ("aot", "bco_pair"))
    assert dpo(f"sigmoid_norm,{loss_type}" if loss_type != "sigmoid_norm" else loss_type).needs_reference


def test_several_formulas_add_up_by_their_weights():
    both = dpo("sigmoid,ipo", loss_weights=[0.8, 0.2])
    expected = 0.8 * neg_log_sigmoid(0.4) + 0.2 * 0.2025
    assert on_pairs(both, ONE).loss == pytest.approx(expected, rel=1e-5)
    assert on_pairs(dpo("sigmoid,ipo"), ONE).loss == pytest.approx(neg_log_sigmoid(0.4) + 0.2025, rel=1e-5)


def test_rpo_adds_the_nll_of_the_chosen_tokens_of_the_step():
    step = [ONE, Pair([-3.0], [-1.0], -3.0, -1.0)]
    added = on_pairs(dpo(rpo_alpha=2.0), *step)
    assert added.metrics["nll_loss"] == pytest.approx(1.5)  # (1 + 0.5 + 3) / 3
    assert added.loss == pytest.approx(on_pairs(dpo(), *step).loss + 2 * 1.5, rel=1e-6)
    assert "nll_loss" not in on_pairs(dpo(), *step).metrics


def test_metrics_are_means_over_the_pairs():
    # rewards 0.25, -0.15 and, of the second pair, 0 and 0.5
    metrics = on_pairs(dpo(), ONE, Pair([-3.0], [-1.0], -3.0, -2.0), cuts=(1,)).metrics
    assert metrics == pytest.approx(
        {
            "rewards/chosen": 0.125,
            "rewards/rejected": 0.175,
            "rewards/accuracies": 0.5,
            "rewards/margins": -0.05,
            "logps/chosen": -2.25,  # (-1.5 - 3) / 2
            "logps/rejected": -1.5,
        },
        rel=1e-5,
    )


def test_the_trainer_ipo_is_that_formula_whatever_loss_type_says():
    ipo = build("ipo", dpo_beta=BETA)
    assert on_pairs(ipo, ONE).loss == pytest.approx(0.2025, rel=1e-5)
    assert (ipo.sample, ipo.head, ipo.needs_reference, ipo.sequences_per_example) == ("pair", "causal", True, 2)
