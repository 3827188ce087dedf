"""A run in the background: listed, stopped with all its processes, resumed, and finished."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autotrain.runs.processes import belonging_to, find_process
from autotrain.training.metrics import read_json_lines

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def autotrain(tmp_path: Path) -> Command:
    environment = {**os.environ, "AUTOTRAIN_HOME": str(tmp_path / "home")}

    def run(*arguments: str, folder: str = ".") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "autotrain", *arguments],
            cwd=tmp_path / folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            stdin=subprocess.DEVNULL,
        )

    return run


@pytest.fixture
def config(tmp_path: Path, tiny_model: Path, chat_folder: Path) -> Path:
    """Some 1200 short steps, with a relative path to the data."""
    values = {
        "task": "llm-sft",
        "base_model": str(tiny_model),
        "project_name": "run",
        "backend": "local-ui",
        "data": {"path": chat_folder.name, "valid_split": "valid"},
        "params": {"peft": True, "lr": 1e-3, "epochs": 100, "batch_size": 2, "gradient_accumulation": 1, "logging_steps": 1},
    }
    file = tmp_path / "config.yml"
    file.write_text(yaml.safe_dump(values))
    return file


def wait_for_step(folder: Path, step: int, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows = read_json_lines(folder / "metrics.jsonl") if (folder / "metrics.jsonl").exists() else []
        if any(row["step"] >= step for row in rows):
            return
        time.sleep(0.02)
    raise AssertionError(f"step {step} wasn't reached")


def state(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "state.json").read_text())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_run_in_the_background_is_stopped_whole_and_resumed_to_its_end(autotrain: Command, config: Path, tmp_path: Path):
    folder = tmp_path / "run"
    started = autotrain("--config", config.name)
    assert started.returncode == 0, started.stderr
    assert "stop it: autotrain runs stop 1" in started.stderr
    wait_for_step(folder, 3)
    worker = find_process(state(folder)["pid"])
    assert worker
    tree = belonging_to(worker)
    assert " training " in autotrain("runs").stdout

    stopped = autotrain("runs", "stop", "run", folder="data")
    assert stopped.returncode == 0, stopped.stderr
    assert "go on: autotrain runs resume 1" in stopped.stdout
    assert [pid for pid in tree if find_process(pid)] == []
    said = state(folder)
    assert said["stage"] == "interrupted" and said["step"] < said["total_steps"] == 1200
    assert (folder / "checkpoints" / f"checkpoint-{said['step']}").is_dir()
    assert f"step {said['step']}/1200" in autotrain("runs", "logs", "1").stdout
    assert "saved, continue with --resume" in autotrain("runs", "show", "1").stdout

    resumed = autotrain("runs", "resume", "1", "--backend", "local", folder="data")
    assert resumed.returncode == 0, resumed.stderr
    assert state(folder)["stage"] == "finished" and state(folder)["step"] == 1200
    steps = [row["step"] for row in read_json_lines(folder / "metrics.jsonl") if "loss" in row]
    assert steps == list(range(1, 1201))
    assert autotrain("runs").stdout.splitlines()[1].split()[:4] == ["1", "run", "finished", "1200/1200"]


def test_a_run_in_the_background_that_is_refused_is_listed_with_the_reason(autotrain: Command, config: Path, tmp_path: Path):
    values = yaml.safe_load(config.read_text())
    values["data"]["column_mapping"] = {"text_column": "mesages"}
    config.write_text(yaml.safe_dump(values))
    assert autotrain("--config", config.name).returncode == 0
    log = autotrain("runs", "logs", "-f", "1")
    assert "no column 'mesages'" in log.stdout
    assert not (tmp_path / "run").exists()
    assert autotrain("runs").stdout.splitlines()[1].split()[1:3] == ["run", "failed"]
    assert "no column 'mesages'" in autotrain("runs", "show", "1").stdout


def test_a_run_outlives_who_reads_its_output(autotrain: Command, config: Path, tmp_path: Path):
    """`autotrain ... | head`: the run isn't failed by a pipe that nobody reads."""
    values = yaml.safe_load(config.read_text())
    values["params"]["epochs"] = 5
    config.write_text(yaml.safe_dump(values | {"backend": "local"}))
    command = [sys.executable, "-m", "autotrain", "--config", config.name]
    environment = {**os.environ, "AUTOTRAIN_HOME": str(tmp_path / "home")}
    run = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.stdout and run.stdout.readline()
    run.stdout.close()
    assert run.wait(500) == 0
    assert state(tmp_path / "run")["stage"] == "finished" and state(tmp_path / "run")["step"] == 60
