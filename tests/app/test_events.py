"""Server-sent events: what happens to a run, within a second, and the rest to whoever comes back."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autotrain.app.rest.events import Read, read_id
from autotrain.app.settings import Settings
from autotrain.app.state import AppState
from autotrain.runs import register

DEAD = 2**22 - 3


class Event(NamedTuple):
    id: str
    kind: str
    data: dict[str, Any]


def write_state(folder: Path, stage: str, step: int = 1) -> None:
    folder.mkdir(exist_ok=True)
    state = {"stage": stage, "step": step, "total_steps": 9, "pid": DEAD, "heartbeat": time.time(), "message": ""}
    (folder / ".tmp").write_text(json.dumps(state))
    (folder / ".tmp").replace(folder / "state.json")


def add_rows(folder: Path, first: int, last: int) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        for step in range(first, last + 1):
            file.write(json.dumps({"step": step, "loss": 2.0 / step, "tokens": step * 10, "seconds": step * 0.5}) + "\n")


@pytest.fixture
def folder(settings: Settings) -> Path:
    """Of a run that a worker elsewhere holds: it stays live until the test says otherwise."""
    folder = settings.workspace / "run"
    write_state(folder, "training")
    return folder


@pytest.fixture
def number(folder: Path) -> Iterator[int]:
    from autotrain.run_folder import claim

    held = claim(folder, resume=True, overwrite=False)
    found = register("run", folder, "local", DEAD)
    assert found is not None
    yield found
    held.release()


def events(served: str, number: int, last_id: str = "", streams: str = "state,metrics,log") -> Iterator[Event]:
    request = urllib.request.Request(f"{served}/api/runs/{number}/events?streams={streams}")
    if last_id:
        request.add_header("Last-Event-ID", last_id)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        block: dict[str, str] = {}
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                block[name] = value
            elif "data" in block:
                yield Event(block["id"], block["event"], json.loads(block["data"]))
                block = {}


def steps(found: list[Event]) -> list[int]:
    return [row["step"] for one in found if one.kind == "metrics" for row in one.data["rows"]]


def test_all_that_happened_comes_and_then_the_end(served: str, number: int, folder: Path):
    add_rows(folder, 1, 3)
    (folder / "train.log").write_text("one\ntwo\n")
    write_state(folder, "finished", 3)
    found = list(events(served, number))
    assert [one.kind for one in found] == ["metrics", "log", "end"]
    assert steps(found) == [1, 2, 3] and found[1].data == {"first": 0, "lines": ["one", "two"]}
    assert found[0].data["rows"][1]["tokens_per_second"] == 20 and found[2].data["stage"] == "finished"


def test_what_is_new_comes_within_a_second(served: str, number: int, folder: Path):
    found: list[tuple[float, Event]] = []
    thread = threading.Thread(target=lambda: found.extend((time.monotonic(), one) for one in events(served, number)))
    thread.start()
    end = time.monotonic() + 20
    while not found and time.monotonic() < end:
        time.sleep(0.01)
    waits = []
    for step in range(1, 6):
        time.sleep(0.3)
        written = time.monotonic()
        add_rows(folder, step, step)
        while step not in steps([one for _, one in found]):
            assert time.monotonic() - written < 20
            time.sleep(0.005)
        waits.append(time.monotonic() - written)
    write_state(folder, "finished", 5)
    thread.join(20)
    assert not thread.is_alive() and found[-1][1].kind == "end"
    assert min(waits) < 1.0, waits  # the machine of a test may be busy


def test_who_comes_back_gets_the_rest_from_another_server_too(served: str, number: int, folder: Path):
    add_rows(folder, 1, 2)
    (folder / "train.log").write_text("one\n")
    first = list(islice(events(served, number), 3))
    assert steps(first) == [1, 2]
    add_rows(folder, 3, 4)
    with (folder / "train.log").open("a") as log:
        log.write("two\n")
    write_state(folder, "finished", 4)
    rest = list(events(served, number, first[-1].id))
    assert steps(rest) == [3, 4]
    assert [one.data for one in rest if one.kind == "log"] == [{"first": 1, "lines": ["two"]}]
    assert [one.kind for one in events(served, number, rest[-1].id)] == ["end"]


def test_after_a_resume_from_an_earlier_step_the_metrics_come_anew(served: str, number: int, folder: Path):
    """The file is cut back to the checkpoint and goes on, at last beyond what the client had."""
    add_rows(folder, 1, 5)
    last = list(islice(events(served, number), 2))[-1].id
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:2]))
    with (folder / "metrics.jsonl").open("a") as file:
        for step in range(3, 10):
            file.write(json.dumps({"step": step, "loss": 9.0, "tokens": step * 10, "seconds": step * 0.75}) + "\n")
    write_state(folder, "finished", 9)
    found = list(events(served, number, last))
    assert [one.kind for one in found] == ["anew", "metrics", "end"]
    assert found[0].data == {"stream": "metrics"} and steps(found) == list(range(1, 10))


def test_a_long_history_comes_in_pieces(served: str, number: int, folder: Path):
    add_rows(folder, 1, 8000)
    write_state(folder, "finished", 9)
    found = list(events(served, number, streams="metrics"))
    assert steps(found) == list(range(1, 8001)) and len(found) > 3


def test_only_what_was_asked_for(served: str, number: int, folder: Path):
    add_rows(folder, 1, 1)
    (folder / "train.log").write_text("one\n")
    write_state(folder, "finished", 9)
    assert [one.kind for one in events(served, number, streams="log")] == ["log", "end"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        list(events(served, number, streams="logs"))
    assert refused.value.code == 422 and b"state, metrics, log" in refused.value.read()


def test_an_id_that_is_none_of_ours_is_the_beginning(served: str, number: int, folder: Path):
    add_rows(folder, 1, 2)
    write_state(folder, "finished", 2)
    for said in ("7", "x.y", "12-zz.5", "-.-", "9" * 40):
        assert steps(list(events(served, number, said, "metrics"))) == [1, 2]
    assert read_id("120-0a0b0c0d.17") == Read("120-0a0b0c0d", 17)


def test_a_stream_ends_when_the_server_does(served: str, number: int, state: AppState):
    found: list[Event] = []
    thread = threading.Thread(target=lambda: found.extend(events(served, number)))
    thread.start()
    end = time.monotonic() + 30
    while not found and time.monotonic() < end:
        time.sleep(0.01)
    assert thread.is_alive()
    polling = state.feeds._watches._task
    assert polling is not None
    polling.get_loop().call_soon_threadsafe(state.end_streams)  # as the server does it, in its loop
    thread.join(30)
    assert not thread.is_alive() and [one.kind for one in found] == ["state"]
