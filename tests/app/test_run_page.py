"""What the page of a run says of its end, its uploads and its checkpoints."""

from dataclasses import replace
from pathlib import Path

from autotrain.app.feeds.view import view_of
from autotrain.app.pages.frame import page
from autotrain.app.pages.run.checkpoints import steps_saved
from autotrain.app.pages.run.outcome import pairs, verdict
from autotrain.app.pages.run.own_names import own_names
from autotrain.app.pages.run.status import line_of, short_line_of
from autotrain.runs import Entry, Run


def test_a_lower_validation_loss_is_better():
    assert "It got better" in verdict({"eval_loss_before": 2.0, "eval_loss": 1.5})
    assert "from 2 to 1.5 (-25 %)" in verdict({"eval_loss_before": 2.0, "eval_loss": 1.5})


def test_a_higher_or_equal_one_is_not():
    for after in (2.0, 2.5):
        assert "It did not get better" in verdict({"eval_loss_before": 2.0, "eval_loss": after})


def test_without_validation_nobody_knows():
    said = verdict({"train_loss_first": 2.0, "train_loss_last": 1.0, "eval_loss": None})
    assert "from 2 (first step) to 1 (last step)" in said and "isn't known" in said


def test_pairs_are_told_in_a_share():
    said = pairs({"validation": {"eval_rewards/accuracies": 0.75}})
    assert said == ["In 75 % of the validation pairs it prefers the better answer."]
    assert pairs({}) == []


def test_an_uploaded_file_has_its_users_name(state, api):
    answer = api.post("/api/datasets?name=My Questions.jsonl", content=b'{"text": "a"}\n')
    assert answer.is_success, answer.text
    (data,) = state.datasets.all()
    for path in (f"{data.folder}/train.jsonl", f"datasets/{data.identity}/train.jsonl"):
        assert own_names(state, f"{path}:3: no messages") == "My Questions.jsonl:3: no messages"
    assert own_names(state, "datasets/0123456789abcdef/train.jsonl") == "datasets/0123456789abcdef/train.jsonl"


def test_the_latest_checkpoint_comes_first(tmp_path):
    for name in ("checkpoint-6", "checkpoint-12", "checkpoint-x", "other"):
        (tmp_path / name).mkdir()
    assert steps_saved(tmp_path) == [12, 6]
    assert steps_saved(tmp_path / "none") == []


def test_why_nothing_moves_before_the_first_step_is_said():
    view = view_of(Run(Entry(1, "a", Path("none"), 1.0, "local", 1), "training", total_steps=9), {})
    assert line_of(view).startswith("On the way to the first step.") and short_line_of(view) == "Step 0 of 9"
    assert line_of(replace(view, step=1)) == short_line_of(replace(view, step=1)) == "Step 1 of 9"


def test_a_page_that_takes_its_time_is_built():
    """Asking a busy machine for its devices may; regression: after 3 s there was an error page in its place."""
    assert page("/slow").response_timeout >= 60
