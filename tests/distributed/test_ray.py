"""Runs on Ray's local cluster: the same as in one process, and what happens when something fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from same_runs import assert_same_run, assert_same_weights
from test_same_as_one import job

pytest.importorskip("ray", reason="Ray isn't installed: pip install 'autotrain-llm[ray]'")
pytest.importorskip("ray.train", reason="Ray Train isn't installed: pip install 'autotrain-llm[ray]'")

SECRET = "hf_" + "thisIsNoRealToken"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a cluster takes half a minute to start


def start(place: Path, params: dict[str, Any], *options: str, backend: str = "ray") -> "subprocess.Popen[str]":
    """`autotrain` with a config made of `params`, in the folder `place`."""
    values = dict(params)
    config = {
        "task": f"llm-{values.pop('trainer')}",
        "base_model": values.pop("model"),
        "project_name": values.pop("project_name"),
        "backend": backend,
        "data": {
            name: values.pop(f"{name}" if name != "path" else "data_path") for name in ("path", "train_split", "valid_split")
        },
    }
    columns = {name: values.pop(name) for name in list(values) if name.endswith("text_column")}
    config["data"]["column_mapping"] = columns
    file = place / f"{config['project_name']}.json"
    file.write_text(json.dumps({**config, "params": values}))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "HF_TOKEN": SECRET, "AUTOTRAIN_HOME": str(place)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "autotrain", "--config", file.name, *options],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]", code: int = 0) -> str:
    """Wait, and return all that it said."""
    output = "".join(process.communicate(timeout=600))
    assert process.returncode == code, output
    assert SECRET not in output
    return output


def children(pid: int) -> Iterator[int]:
    """Processes that `pid` started, and those that they did."""
    found = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    pairs = list(zip(map(int, found[::2]), map(int, found[1::2]), strict=True))
    for child, parent in pairs:
        if parent == pid:
            yield child
            yield from children(child)


def command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 400
    while not path.exists():
        assert process.poll() is None, "".join(process.communicate())
        assert time.monotonic() < end
        time.sleep(0.1)


def ray_job(trainer: str, name: str, rows: Path, model: Path, **changes: Any) -> dict[str, Any]:
    """Parameters for two workers; each step has the rows that a run of one process has with twice the batch size."""
    return {**job(trainer, name, rows, model, devices=2, **changes)["params"], "devices": 2}


def long_job(name: str, rows: Path, model: Path, **changes: Any) -> dict[str, Any]:
    """Several hundred steps, saved every 20."""
    saving = {"save_strategy": "steps", "save_steps": 20, "logging_steps": 100, "eval_strategy": "no", "epochs": 300}
    return ray_job("sft", name, rows, model, **{**saving, **changes})


def test_two_workers_give_what_one_process_gives(
    rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    ways = (("sft", {"peft": True}), ("dpo", {"peft": False, "lr": 1e-4}))
    run_alone(
        [job(trainer, f"{trainer}-one", rows_folder, tiny_model, devices=1, **kind) for trainer, kind in ways], tmp_path
    )
    for trainer, kind in ways:
        on_ray = ray_job(trainer, f"{trainer}-ray", rows_folder, tiny_model, **kind)
        output = finish(start(tmp_path, on_ray))
        assert "result goes to: " in output
        assert "(raylet)" not in output
        assert_same_run(tmp_path / f"{trainer}-one", tmp_path / f"{trainer}-ray")
        assert "steps: " in (tmp_path / f"{trainer}-ray" / "train.log").read_text()
    assert not list(tmp_path.glob(".autotrain-*"))


def test_a_mistake_in_the_data_is_told_as_anywhere_else(rows_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    for name in ("chats", "valid"):
        (tmp_path / "bad" / f"{name}.jsonl").write_text((rows_folder / f"{name}.jsonl").read_text())
    with (tmp_path / "bad" / "chats.jsonl").open("a") as file:
        file.write('{"messages": 3}\n')
    params = ray_job("sft", "bad-run", Path("bad"), tiny_model, max_restarts=2)
    output = finish(start(tmp_path, params), 2)
    assert "bad/chats.jsonl:14: not a conversation" in output
    assert "started anew" not in output
    assert not (tmp_path / "bad-run").exists()


@pytest.mark.parametrize("victim", ["ray::RayTrainWorker", "trainers.clm train"])
def test_a_worker_that_is_killed_is_started_anew_and_goes_on(
    victim: str, rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    name = "killed"
    process = start(tmp_path, long_job(name, rows_folder, tiny_model, max_restarts=1))
    wait_for(tmp_path / name / "checkpoints" / "checkpoint-40", process)
    os.kill(next(pid for pid in children(process.pid) if victim in command(pid)), signal.SIGKILL)
    output = finish(process)
    assert "all are started anew (1 of 1)" in output
    assert "resumed: from step" in output
    params = {**long_job("whole", rows_folder, tiny_model), "devices": 1, "batch_size": 12}
    run_alone([{"params": params}], tmp_path)
    assert_same_weights(tmp_path / "whole", tmp_path / name, tolerance=1e-3)


def test_ctrl_c_saves_leaves_nothing_and_resume_goes_on(rows_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    params = long_job("stopped", rows_folder, tiny_model)
    process = start(tmp_path, params)
    wait_for(tmp_path / "stopped" / "checkpoints" / "checkpoint-40", process)
    started = list(children(process.pid))
    process.send_signal(signal.SIGINT)
    assert "saved, continue with --resume" in finish(process, 130)
    end = time.monotonic() + 60
    while left := [command(pid) for pid in started if command(pid)]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
    assert "resumed: from step" in finish(start(tmp_path, params, "--resume"))
