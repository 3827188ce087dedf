"""A log over a network that fails: whole, in order, no line twice, and an end."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable

import pytest
from hub_double import HubDouble

from autotrain.cloud import stream
from autotrain.cloud.job_service import JobService
from autotrain.cloud.stream import follow_lines
from autotrain.errors import HubError
from autotrain.hub.client import open_api

POLL = 0.1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_FIRST_WAIT_SECONDS", 0.01)


def anew(logs: list[list[str]]) -> tuple[Callable[[], Iterable[str]], Callable[[], bool]]:
    """A log that is another one at each opening, and whether the run is over: at its last one, which stays."""
    openings, over = itertools.count(), threading.Event()

    def open_stream() -> Iterable[str]:
        number = min(next(openings), len(logs) - 1)
        if number == len(logs) - 1:
            over.set()
        return logs[number]

    return open_stream, over.is_set


def test_a_cut_stream_is_opened_anew_and_nothing_is_said_twice():
    openings, over = itertools.count(), threading.Event()

    def open_stream() -> Iterable[str]:
        number = next(openings)
        yield from [f"step {step}" for step in range(min(9, 3 * (number + 1)))]
        if number < 2:
            raise HubError("the log: cut")
        over.set()

    said = list(follow_lines(open_stream, over.is_set, poll_seconds=POLL))
    assert said == [f"step {step}" for step in range(9)]


def test_what_was_written_last_is_read_though_the_log_had_ended_before(monkeypatch: pytest.MonkeyPatch):
    """Regression: between two openings the reader waits, up to 30 s; soon after the run's end the rest was given up."""
    monkeypatch.setattr(stream, "_FIRST_WAIT_SECONDS", 120)
    is_read, is_written = threading.Event(), threading.Event()

    def open_stream() -> Iterable[str]:
        yield "step 1"
        is_read.set()
        if is_written.is_set():
            yield "the end"

    def is_over() -> bool:
        if not is_read.is_set():
            return False
        is_written.set()
        return True

    assert list(follow_lines(open_stream, is_over, poll_seconds=POLL)) == ["step 1", "the end"]


def test_a_machine_that_talks_slowly_is_heard_to_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stream, "_DRAIN_SECONDS", 1.0)

    def open_stream() -> Iterable[str]:
        for step in range(4):
            yield f"step {step}"
            time.sleep(0.5)

    assert list(follow_lines(open_stream, lambda: True, poll_seconds=POLL)) == [f"step {step}" for step in range(4)]


def test_lines_that_are_the_same_are_kept():
    assert list(follow_lines(lambda: ["a", "a", "a"], lambda: True, poll_seconds=POLL)) == ["a", "a", "a"]


def test_a_machine_started_anew_has_another_log():
    said = list(follow_lines(*anew([["a", "b", "c"], ["x", "y"]]), poll_seconds=POLL))
    assert said == ["a", "b", "c", "x", "y"]


def test_a_stream_that_never_ends_doesnt_hold_us(monkeypatch: pytest.MonkeyPatch):
    is_read, let_go = threading.Event(), threading.Event()

    def forever() -> Iterable[str]:
        yield "only line"
        is_read.set()
        let_go.wait(120)

    monkeypatch.setattr(stream, "_DRAIN_SECONDS", 1.0)
    assert list(follow_lines(forever, is_read.is_set, poll_seconds=POLL)) == ["only line"]
    assert not let_go.is_set()
    let_go.set()


def test_a_hub_out_of_reach_is_waited_for_and_then_reported():
    answers = iter([HubError("away"), HubError("away"), True])

    def is_over() -> bool:
        answer = next(answers)
        if isinstance(answer, HubError):
            raise answer
        return answer

    assert list(follow_lines(list, is_over, poll_seconds=POLL)) == []

    def never() -> bool:
        raise HubError("away for good")

    with pytest.raises(HubError, match="away for good"):
        list(follow_lines(list, never, poll_seconds=POLL, patience_seconds=0.3))


def test_a_token_that_expires_is_reported_soon_and_not_after_minutes(hub: HubDouble):
    hub.add_user("nils")
    service = JobService(open_api("hf_nils"))
    hub.fail("GET", "/api/jobs/nils/", 401, times=None)
    start = time.monotonic()
    with pytest.raises(HubError, match="mistyped, revoked or expired"):
        list(follow_lines(list, lambda: service.state("nils/1").is_over, poll_seconds=POLL))
    assert time.monotonic() - start < 30
    assert len(hub.sent("GET", "/api/jobs/nils/1")) == 2  # once may be a mishap


def test_a_machine_that_was_preempted_and_comes_back_is_followed_on():
    """Its log begins anew; what it says a second time is what it does a second time."""
    logs = [["note", "step 1", "step 2"], ["note", "resumed from step 1", "step 2", "step 3"]]
    said = list(follow_lines(*anew(logs), poll_seconds=POLL))
    assert said == ["note", "step 1", "step 2", "resumed from step 1", "step 2", "step 3"]
