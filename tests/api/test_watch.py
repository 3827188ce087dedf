"""Where a run stands, as its folder tells it while it is going on."""

import json
from pathlib import Path

from autotrain.api.watch import Status, Watch
from autotrain.cloud.report import FAILED, End


def folder_of(tmp_path: Path, stage: str = "training", step: int = 4) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    state = {"stage": stage, "step": step, "total_steps": 10, "pid": 1, "heartbeat": 0.0}
    (folder / "state.json").write_text(json.dumps(state))
    rows = [{"step": 3, "loss": 2.5, "seconds": 6.0}, {"step": 3, "eval_loss": 2.4}]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4, "lo')
    return folder


def test_without_a_run_it_is_idle():
    assert Watch().status() == Status("idle")


def test_before_the_folder_is_there_it_is_starting(tmp_path: Path):
    watch = Watch()
    watch.starts(tmp_path / "run")
    assert watch.status() == Status("starting")


def test_while_training_it_tells_step_loss_and_time_left(tmp_path: Path):
    watch = Watch()
    watch.starts(folder_of(tmp_path))
    # 6 s for 3 steps, 6 of 10 steps to go: 2 * 6
    assert watch.status() == Status("training", 4, 10, 2.5, 12.0)


def test_a_model_that_waits_to_be_pushed_says_why(tmp_path: Path):
    watch = Watch()
    watch.starts(folder_of(tmp_path, "finished", 10))
    watch.pushes("the hub is full")
    status = watch.status()
    assert (status.stage, status.step, status.reason, status.seconds_left) == ("pushing", 10, "the hub is full", None)


def test_at_the_end_it_tells_the_end_and_not_what_the_folder_says(tmp_path: Path):
    watch = Watch()
    watch.starts(folder_of(tmp_path))
    watch.ends(End(FAILED, 1, "the token hf_abcdefghijkl is read-only"))
    status = watch.status()
    assert (status.stage, status.loss, status.reason) == ("failed", 2.5, "the token hf_**** is read-only")
