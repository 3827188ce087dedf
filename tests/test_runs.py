"""The registry is an index; the run folders are the truth."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotrain.home import home
from autotrain.runs import forget, is_alive, last_loss, list_runs, register

DEAD = 2**22 - 3  # a process id that no process of a test machine has


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))


def make_run(folder: Path, *, stage: str = "training", pid: int = DEAD) -> Path:
    folder.mkdir(parents=True)
    state = {"stage": stage, "step": 4, "total_steps": 9, "pid": pid, "heartbeat": 1.0, "message": ""}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "metrics.jsonl").write_text(
        '{"step": 3, "loss": 2.5}\n{"step": 4, "loss": 2.25}\n{"step": 4, "eval_loss": 3}\n{"st'
    )
    return folder


def test_the_list_shows_what_the_folder_says(tmp_path: Path):
    register("a", make_run(tmp_path / "a", stage="finished"), "local", DEAD)
    (run,) = list_runs()
    assert (run.stage, run.step, run.total_steps, run.loss) == ("finished", 4, 9, 2.25)


def test_a_run_whose_worker_is_dead_has_stopped(tmp_path: Path):
    register("a", make_run(tmp_path / "a"), "local", DEAD)
    assert list_runs()[0].stage == "stopped"


def test_a_live_worker_is_shown_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("autotrain.runs.is_alive", lambda pid: pid == 7)
    register("a", make_run(tmp_path / "a", pid=7), "local", 7)
    register("b", tmp_path / "b", "local", 7)
    assert {run.entry.name: run.stage for run in list_runs()} == {"a": "training", "b": "starting"}


def test_a_deleted_folder_is_gone(tmp_path: Path):
    register("a", tmp_path / "a", "local", DEAD)
    assert list_runs()[0].stage == "gone"


def test_a_folder_has_one_entry_and_the_latest_comes_first(tmp_path: Path):
    for name in ("a", "b", "a"):
        register(name, tmp_path / name, "local", DEAD)
    assert [run.entry.name for run in list_runs()] == ["a", "b"]


def test_a_refused_run_is_forgotten(tmp_path: Path):
    number = register("a", tmp_path / "a", "local", DEAD)
    assert number is not None
    forget(number)
    assert list_runs() == []


def test_a_home_that_cant_be_made_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "file" / "home"))
    assert register("a", tmp_path / "a", "local", DEAD) is None
    assert list_runs() == []


def test_a_broken_registry_fails_no_run(tmp_path: Path):
    home().mkdir()
    (home() / "runs.db").write_bytes(b"this is no database, " * 100)
    assert register("a", tmp_path / "a", "local", DEAD) is None


def test_defect_20_another_process_with_the_number_of_a_worker_is_no_worker():
    assert not is_alive(DEAD)
    assert not is_alive(1)


def test_a_running_worker_is_known_by_its_command():
    command = [sys.executable, "-c", "input(chr(10))", "-m autotrain"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout and worker.stdout.read(1) == b"\n"  # it runs
        assert is_alive(worker.pid)
        worker.communicate(b"\n")
    assert not is_alive(worker.pid)


def test_there_is_no_loss_before_the_first_step(tmp_path: Path):
    assert last_loss(tmp_path) is None


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AUTOTRAIN_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert home() == Path("/data/autotrain")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert home() == Path(os.path.expanduser("~")) / ".local/share/autotrain"
