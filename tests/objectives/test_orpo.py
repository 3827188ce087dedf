"""The odds ratio, worked by hand."""

import math

import pytest
import torch
from worked_steps import Pair, assert_cutting_changes_nothing, build, gradient_of, on_pairs

# Mean log-probabilities: chosen log 0.5 (odds 1), rejected log 0.2 (odds 1/4).  So the odds ratio is 4.
ONE = Pair([math.log(0.5)] * 2, [math.log(0.2)])
RATIO = -math.log(1 / (1 + 1 / 4))  # -log sigmoid(log 4) = log 1.25 = 0.2231
PROMPTED = (
    Pair([-1.0, -0.5], [-2.0], prompt=[-3.0, -1.0]),
    Pair([-0.2], [-0.3, -0.4, -0.1], prompt=[]),
    Pair([-3.0, -1.0, -0.5], [-1.0, -1.0], prompt=[-2.0]),
    Pair([-0.7, -0.7], [-2.5, -0.5], prompt=[-0.5, -0.5, -4.0]),
    Pair([-1.1], [-0.9], prompt=[-1.0]),
)


def test_a_pair_costs_its_nll_and_the_odds_ratio():
    result = on_pairs(build("orpo", orpo_beta=0.5), ONE)
    assert result.loss == pytest.approx(math.log(2) + 0.5 * RATIO, rel=1e-5)
    assert result.metrics == pytest.approx(
        {
            "nll_loss": math.log(2),
            "log_odds_chosen": math.log(4),
            "log_odds_ratio": -RATIO,
            "rewards/chosen": 0.5 * math.log(0.5),
            "rewards/rejected": 0.5 * math.log(0.2),
            "rewards/accuracies": 1.0,
            "rewards/margins": 0.5 * math.log(2.5),
            "logps/chosen": math.log(0.5),
            "logps/rejected": math.log(0.2),
        },
        rel=1e-5,
    )


def test_the_nll_is_a_mean_over_the_chosen_tokens_of_the_step():
    metrics = on_pairs(build("orpo"), Pair([-1.0], [-1.0]), Pair([-2.0, -3.0, -4.0], [-1.0]), cuts=(1,)).metrics
    assert metrics["nll_loss"] == pytest.approx(2.5)  # (1 + 2 + 3 + 4) / 4, not (1 + 3) / 2


def test_on_the_prompt_it_is_a_mean_over_prompts_and_chosen_answers():
    objective = build("orpo", orpo_nll_on_prompt=True)
    step = (Pair([-1.0], [-9.0], prompt=[-3.0, -5.0]), Pair([-2.0, -3.0], [-9.0], prompt=[-4.0]))
    assert objective.sequences_per_example == 3
    result = on_pairs(objective, *step, cuts=(1,))
    assert result.metrics["nll_loss"] == pytest.approx(3.0)  # (1 + 3 + 5 + 2 + 3 + 4) / 6
    answers_alone = on_pairs(build("orpo"), *(Pair(pair.chosen, pair.rejected) for pair in step))
    assert result.metrics["log_odds_ratio"] == pytest.approx(answers_alone.metrics["log_odds_ratio"])


def test_without_the_prompt_two_sequences_are_enough():
    assert build("orpo").sequences_per_example == 2 and not build("orpo").needs_reference


def test_a_likelier_chosen_answer_costs_less_and_a_likelier_rejected_one_more():
    base = on_pairs(build("orpo"), ONE).loss
    assert on_pairs(build("orpo"), Pair([-0.6, -0.6], ONE.rejected)).loss < base
    assert on_pairs(build("orpo"), Pair(ONE.chosen, [-1.5])).loss > base


def test_descent_raises_the_chosen_answer_and_lowers_the_rejected():
    result = on_pairs(build("orpo"), ONE)
    assert all(slope < 0 for slope in gradient_of(result, 0)) and all(slope > 0 for slope in gradient_of(result, 1))


@pytest.mark.parametrize("on_prompt", [False, True])
def test_cutting_the_step_changes_nothing(on_prompt):
    step = PROMPTED if on_prompt else [Pair(pair.chosen, pair.rejected) for pair in PROMPTED]
    objective = build("orpo", orpo_nll_on_prompt=on_prompt)
    assert_cutting_changes_nothing(lambda cuts: on_pairs(objective, *step, cuts=cuts))


@pytest.mark.parametrize("chosen", [0.0, -1e-8, -1e4])
@pytest.mark.parametrize("rejected", [0.0, -1e-8, -1e4])
def test_certain_and_impossible_answers_are_finite(chosen, rejected):
    result = on_pairs(build("orpo"), Pair([chosen], [rejected]))
    assert math.isfinite(result.loss) and torch.cat(result.gradients).isfinite().all()
