"""A log is followed from where it is to the end of its run."""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotrain.run_folder import claim
from autotrain.runs import Entry, logs, register
from autotrain.runs.logs import follow, log_file, read_lines
from autotrain.runs.processes import birth_of
from autotrain.runs.registry import get
from autotrain.runs.waiting import claim as claim_to_start
from autotrain.runs.waiting import enqueue


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_POLL_SECONDS", 0.02)


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Entry(1, "run", tmp_path / "run", 0.0, "local", os.getpid(), birth_of(os.getpid()), tmp_path / "printed.log")


def set_state(entry: Entry, stage: str) -> None:
    entry.folder.mkdir(exist_ok=True)
    state = {"stage": stage, "step": 1, "total_steps": 2, "pid": entry.pid, "heartbeat": 1.0, "message": ""}
    (entry.folder / "state.json").write_text(json.dumps(state))


def collect(lines: Iterator[str], found: list[str]) -> threading.Thread:
    thread = threading.Thread(target=lambda: found.extend(lines), daemon=True)
    thread.start()
    return thread


def wait_until(found: list[str], count: int) -> None:
    end = time.monotonic() + 30
    while len(found) < count and time.monotonic() < end:
        time.sleep(0.01)


def test_lines_that_come_are_shown_until_the_run_ends_the_last_one_too(entry: Entry):
    set_state(entry, "training")
    file = entry.folder / "train.log"
    file.write_text("one\ntwo\nthr")
    found: list[str] = []
    thread = collect(follow(entry, 1), found)
    wait_until(found, 1)
    with file.open("a") as opened:
        opened.write("ee\nfour\nno line end")
    wait_until(found, 3)
    set_state(entry, "finished")
    thread.join(30)
    assert found == ["two", "three", "four", "no line end"]


def test_a_run_that_waits_is_followed_from_its_begin_to_its_end(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Regression: it was taken for waiting for ever."""
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    number = enqueue("run", entry.folder, "local-ui", "{}")
    found: list[str] = []
    thread = collect(follow(get(number)), found)
    claim_to_start(get(number))
    set_state(entry, "training")
    (entry.folder / "train.log").write_text("one\n")
    assert register("run", entry.folder, "local-ui", os.getpid()) == number
    wait_until(found, 1)
    set_state(entry, "finished")
    thread.join(30)
    assert found == ["one"] and not thread.is_alive()


def test_a_log_that_is_begun_anew_is_read_from_its_beginning(entry: Entry):
    set_state(entry, "training")
    file = entry.folder / "train.log"
    file.write_text("the old run, which said more\n")
    found: list[str] = []
    thread = collect(follow(entry), found)
    wait_until(found, 1)
    file.unlink()
    file.write_text("the new run\n")
    wait_until(found, 2)
    set_state(entry, "finished")
    thread.join(30)
    assert found == ["the old run, which said more", "the new run"]


def test_a_log_that_isnt_there_yet_is_waited_for_and_never_after_the_end(entry: Entry):
    found: list[str] = []
    thread = collect(follow(entry), found)  # no folder yet: it is starting
    time.sleep(0.1)
    set_state(entry, "training")
    (entry.folder / "train.log").write_text("begun\n")
    wait_until(found, 1)
    set_state(entry, "finished")
    thread.join(30)
    assert found == ["begun"]
    (entry.folder / "train.log").unlink()
    assert list(follow(entry)) == []


def test_before_there_is_a_log_what_was_printed_is_shown(entry: Entry):
    assert log_file(entry) is None
    assert entry.output
    entry.output.write_text("error: no such column\n")
    assert log_file(entry) == entry.output and read_lines(entry.output) == ["error: no such column"]


def test_looking_at_a_run_never_keeps_a_worker_from_its_folder(entry: Entry):
    """Looking takes the lock for a moment, and a worker that claims the folder in that moment waits."""
    set_state(entry, "interrupted")
    stop = threading.Event()

    def look() -> None:
        from autotrain.run_folder import is_held

        while not stop.is_set():
            is_held(entry.folder)

    claim(entry.folder, resume=True, overwrite=False).release()
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        for _ in range(100):
            claim(entry.folder, resume=True, overwrite=False).release()
    finally:
        stop.set()
        thread.join(30)
