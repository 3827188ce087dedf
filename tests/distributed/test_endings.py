"""What ends one process ends all of them, with one reason, an exit code, and something to go on from."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from command import Run
from tests_of_ranks import job

from autotrain.trainers.clm import crew
from autotrain.training.ending import Ending
from autotrain.training.place import START_VARIABLE

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own


@pytest.fixture
def start(rows_folder: Path, tiny_model: Path, tmp_path: Path) -> Generator[Callable[..., Run]]:
    """Start a run of two processes that takes minutes, with a checkpoint every 2 steps."""
    runs: list[Run] = []

    def begin(name: str, *options: str, **changes: Any) -> Run:
        long = {"epochs": 3000, "eval_strategy": "no", "save_steps": 2, "logging_steps": 1, "num_sample_prompts": 0}
        params = job("sft", name, rows_folder, tiny_model, devices=2, **long)["params"]
        params = {**params, "devices": 2, "mixed_precision": "none", "lora_dropout": None, "max_prompt_length": None}
        runs.append(Run(tmp_path, {**params, **changes}, *options))
        return runs[-1]

    yield begin
    for run in runs:
        for pid in [*run.processes(), *run.processes("crew")]:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGKILL)
        run.process.kill()


def test_a_rank_that_is_killed_ends_the_run_and_is_named(start: Callable[..., Run]) -> None:
    run = start("kill-rank")
    run.wait_for("step 4/")
    os.kill(run.processes()[-1], signal.SIGKILL)
    killed = time.monotonic()
    assert run.end() == 1
    assert time.monotonic() - killed < 120  # torch waits for 300 s
    assert re.search(r"error: process [01] was ended by force \(SIGKILL\)", run.said)
    assert "torch/distributed" not in run.said  # torchrun's own lines
    assert "Traceback" not in run.said
    assert run.checkpoints()


def test_a_killed_launcher_leaves_saved_processes_and_none_behind(start: Callable[..., Run]) -> None:
    run = start("kill-launcher")
    run.wait_for("step 4/")
    (launcher,) = run.processes("crew")
    os.kill(launcher, signal.SIGKILL)
    assert run.end() == 137
    assert run.state()["stage"] == "interrupted"
    assert run.state()["step"] in run.checkpoints()


def test_sigterm_saves_once_and_resume_goes_on(start: Callable[..., Run]) -> None:
    run = start("stop")
    run.wait_for("step 3/")
    assert run.state()["pid"] == run.processes("crew")[0]  # who is told to stop
    run.process.terminate()
    assert run.end() == 143
    step = run.state()["step"]
    assert run.said.count("interrupted at step") == 1
    again = start("stop", "--resume")
    again.wait_for(f"step {step + 2}/")
    assert f"resumed: from step {step}" in again.said
    again.process.terminate()
    assert again.end() == 143


def test_max_restarts_goes_on_from_the_last_checkpoint_by_itself_and_ends_well(start: Callable[..., Run]) -> None:
    run = start("restart", max_restarts=1, epochs=250)
    run.wait_for("step 6/")
    os.kill(run.processes()[0], signal.SIGKILL)
    assert run.end() == 0
    resumed = re.search(r"resumed: from step (\d+)\n", run.said)
    assert resumed and int(resumed.group(1)) >= 4
    assert run.state()["stage"] == "finished" and run.state()["step"] == 500
    assert "error:" not in run.said


def test_a_signal_while_processes_are_started_anew_ends_the_run(start: Callable[..., Run]) -> None:
    """Regression: it went to the numbers of those that were dead, and the run went on."""
    run = start("restart-stop", max_restarts=1)
    run.wait_for("step 4/")
    before = set(run.processes())
    os.kill(min(before), signal.SIGKILL)
    while before & set(run.processes()):
        time.sleep(0.01)
    run.process.terminate()
    assert run.end() == 143, run.said[-3000:]
    assert run.checkpoints()


@pytest.mark.parametrize(("code", "counts"), [(1, False), (2, True), (143, True)])
def test_what_ended_an_earlier_start_counts_only_where_starting_anew_does_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, counts: bool
) -> None:
    def note(start: int, code: int) -> Ending:
        ending = Ending(rank=0, restart=start, code=code, reason="why", is_own=True, when=1.0)
        (tmp_path / f"rank-0-{start}.end").write_text(json.dumps(asdict(ending)))
        return ending

    first = note(0, code)
    monkeypatch.setenv(START_VARIABLE, "1")
    assert crew._last_endings(tmp_path) == ([first] if counts else [])
    second = note(1, 1)
    assert crew._last_endings(tmp_path) == [second]


def test_a_mistake_in_the_data_is_told_once_and_nothing_is_written(start: Callable[..., Run]) -> None:
    run = start("mistake", text_column="nope", max_restarts=3)
    assert run.end() == 2
    assert run.said.count("no column 'nope'") == 1
    assert "Traceback" not in run.said
    assert not run.project.exists()


def test_what_several_devices_cannot_do_is_refused_before_anything_is_loaded(start: Callable[..., Run]) -> None:
    run = start("deep", distributed_backend="deepspeed")
    assert run.end() == 2
    assert "write distributed_backend: fsdp" in run.said
    assert run.said.count("error:") == 1
