"""When to log, validate and save."""

from autotrain.params import LLMTrainingParams
from autotrain.training.due import plan_events


def plan(steps_per_epoch=10, total_steps=30, has_validation=True, **params):
    fields = LLMTrainingParams(**params)
    return plan_events(fields, steps_per_epoch=steps_per_epoch, total_steps=total_steps, has_validation=has_validation)


def steps(due, total=30):
    return [step for step in range(total + 1) if due(step)]


def test_by_default_each_epoch_is_validated_and_saved_and_the_base_model_is_validated_first():
    assert steps(plan().validate) == [0, 10, 20, 30]
    assert [step for step in steps(plan().save) if step] == [10, 20, 30]


def test_defect_23_logging_steps_are_a_twentieth_of_the_steps_between_1_and_25():
    assert plan(total_steps=7).log_every == 1
    assert plan(total_steps=200).log_every == 10
    assert plan(total_steps=10_000).log_every == 25


def test_first_and_last_step_are_always_logged():
    due = plan(logging_steps=25)
    assert steps(due.log) == [1, 25, 30] or steps(due.log) == [0, 1, 25, 30]


def test_save_steps_imply_the_strategy_steps():
    assert [step for step in steps(plan(save_steps=7).save) if step] == [7, 14, 21, 28, 30]


def test_eval_steps_imply_the_strategy_steps():
    assert steps(plan(eval_steps=12).validate) == [0, 12, 24, 30]


def test_an_explicit_strategy_wins_over_implied_steps():
    assert steps(plan(eval_steps=12, eval_strategy="no").validate) == []


def test_without_validation_data_nothing_is_validated():
    assert steps(plan(has_validation=False).validate) == []


def test_no_checkpoints_with_save_strategy_no():
    assert steps(plan(save_strategy="no").save) == []
