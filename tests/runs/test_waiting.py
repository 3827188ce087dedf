"""Runs that wait: the registry keeps them, whoever looks."""

import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from autotrain.errors import RunFolderError
from autotrain.home import home
from autotrain.runs import list_runs, register, register_cloud
from autotrain.runs.registry import entries, get
from autotrain.runs.stages import worker_of
from autotrain.runs.waiting import NOBODY, begun_or_waiting, claim, enqueue, fail, give_back, take_out, waiting

DEAD = 2**22 - 3


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))


def finished(folder: Path) -> Path:
    folder.mkdir()
    state = {"stage": "finished", "step": 9, "total_steps": 9, "pid": DEAD, "heartbeat": 1.0, "message": ""}
    (folder / "state.json").write_text(json.dumps(state))
    return folder


def test_a_run_keeps_its_number_from_waiting_to_its_start(tmp_path: Path):
    number = enqueue("a", tmp_path / "a", "local-ui", "{}")
    assert [run.stage for run in list_runs()] == ["waiting"]
    assert claim(get(number))
    assert list_runs()[0].stage == "starting"
    assert register("a", tmp_path / "a", "local-ui", os.getpid()) == number
    assert get(number).queued is None


def test_they_begin_in_the_order_in_which_they_came(tmp_path: Path):
    numbers = [enqueue(name, tmp_path / name, "local-ui", "{}") for name in "abc"]
    assert [one.id for one in waiting()] == numbers


def test_only_one_of_two_servers_gets_a_run(tmp_path: Path):
    number = enqueue("a", tmp_path / "a", "local-ui", "{}")
    assert [claim(get(number)), claim(get(number))] == [True, False]


def test_a_run_that_was_asked_for_anew_isnt_begun_as_it_was_before(tmp_path: Path):
    """Regression: who had looked before the change began it with the parameters of before."""
    seen = get(enqueue("a", tmp_path / "a", "local-ui", "{}"))
    take_out(seen.id)
    assert enqueue("a", tmp_path / "a", "local-ui", '{"lr": 1}') == seen.id
    assert not claim(seen) and claim(get(seen.id))


def test_whoever_claimed_a_run_and_died_gives_it_back(tmp_path: Path):
    number = enqueue("a", tmp_path / "a", "local-ui", "{}")
    claim(get(number))
    give_back(entries())
    assert waiting() == []  # we live
    with sqlite3.connect(home() / "runs.db") as database:
        database.execute("update runs set pid = ?", (DEAD,))
    give_back(entries())
    assert [one.id for one in waiting()] == [number]


def test_the_process_that_is_about_to_start_a_run_is_never_taken_for_its_worker(tmp_path: Path):
    """Or stopping the run would end the server."""
    number = enqueue("a", tmp_path / "a", "local-ui", "{}")
    claim(get(number))
    assert worker_of(get(number)) is None


def test_whoever_has_something_to_tell_a_run_waits_until_it_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    number = enqueue("a", tmp_path / "a", "local-ui", "{}")
    before = get(number)
    assert begun_or_waiting(before).queued
    claim(get(number))
    begin = threading.Timer(0.3, register, ["a", tmp_path / "a", "local-ui", os.getpid()])
    begin.start()
    assert begun_or_waiting(before).queued is None
    begin.join()
    other = enqueue("b", tmp_path / "b", "local-ui", "{}")
    claim(get(other))
    monkeypatch.setattr("autotrain.runs.waiting._LAUNCH_SECONDS", 0.1)
    with pytest.raises(RunFolderError, match="b is just being started"):
        begun_or_waiting(get(other))


def test_a_run_that_was_taken_out_can_be_seen_and_one_that_was_resumed_is_what_it_was(tmp_path: Path):
    new = enqueue("a", tmp_path / "a", "local-ui", "{}")
    old = register("b", finished(tmp_path / "b"), "local", DEAD)
    assert enqueue("b", tmp_path / "b", "local-ui", "{}", resume=True) == old
    assert take_out(new) and take_out(old or 0) and not take_out(new)
    assert {run.entry.name: (run.stage, run.reason) for run in list_runs()} == {
        "a": ("stopped", "it was taken out of the queue before it began"),
        "b": ("finished", ""),
    }


def test_a_run_that_couldnt_be_started_says_why(tmp_path: Path):
    number = enqueue("a", tmp_path / "a", "local-ui", "{}")
    claim(get(number))
    fail(number, "no model x")
    assert [(run.stage, run.reason) for run in list_runs()] == [("failed", "no model x")]


def test_a_folder_waits_once(tmp_path: Path):
    enqueue("a", tmp_path / "a", "local-ui", "{}")
    with pytest.raises(RunFolderError, match="waiting to begin already"):
        enqueue("a", tmp_path / "a", "local-ui", "{}")


@pytest.mark.parametrize("before", [NOBODY, (DEAD, "")])
def test_a_run_that_began_since_one_looked_isnt_replaced(tmp_path: Path, before: tuple[int, str]):
    """Or two workers were started for one folder, and only the second could be stopped."""
    if before != NOBODY:
        register("a", finished(tmp_path / "a"), "local", DEAD)
        before = (DEAD, entries()[0].born)
    number = enqueue("a", tmp_path / "a", "local-ui", "{}", overwrite=True, before=before)
    claim(get(number))
    register("a", tmp_path / "a", "local-ui", os.getpid())
    with pytest.raises(RunFolderError, match="has just begun"):
        enqueue("a", tmp_path / "a", "local-ui", "{}", overwrite=True, before=before)
    assert get(number).pid == os.getpid() and waiting() == []


def test_a_cloud_run_keeps_its_number_and_leaves_the_local_run_of_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    local = register("a", finished(tmp_path / "a"), "local", DEAD)
    number = enqueue("a", tmp_path / "a", "spaces-t4-small", "{}")
    claim(get(number))
    assert register_cloud("a", "spaces-t4-small", "me/autotrain-a", "me/a", "url", "{}") == number
    assert {one.id for one in entries()} == {local, number}
    assert get(number).cloud


def test_a_space_that_is_used_again_has_one_entry_the_latest(tmp_path: Path):
    before = register_cloud("a", "spaces-t4-small", "me/autotrain-a", "me/a", "url", "{}")
    number = enqueue("a", tmp_path / "a", "spaces-t4-small", "{}")
    claim(get(number))
    assert register_cloud("a", "spaces-t4-small", "me/autotrain-a", "me/a", "url", "{}") == number != before
    assert [one.id for one in entries()] == [number]


def test_a_registry_of_the_version_before_is_moved_on(tmp_path: Path):
    home().mkdir()
    with sqlite3.connect(home() / "runs.db") as database:
        database.execute(
            "create table runs (id integer primary key autoincrement, name text not null, folder text not null, "
            "started real not null, backend text not null, pid integer not null, born text not null default '', "
            "output text, job_id text unique, repo_id text not null default '', url text not null default '', "
            "parameters text not null default '', stage text, detail text, step integer, total_steps integer, loss real)"
        )
        database.execute("create unique index one_run_a_folder on runs (folder) where job_id is null")
        database.execute("insert into runs (name, folder, started, backend, pid) values ('a', ?, 1, 'local', 1)", ("/a",))
        database.execute("pragma user_version = 1")
    assert [(one.name, one.notes, one.queued) for one in entries()] == [("a", "", None)]
    enqueue("b", tmp_path / "b", "local-ui", "{}")
