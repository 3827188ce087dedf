"""A process that fails, falls silent or hangs ends the others, and is named."""

import time
from collections.abc import Generator

import pytest
import torch.distributed as dist

from autotrain.training import pulse
from autotrain.training.pulse import Pulse

HOST = "127.0.0.1"


@pytest.fixture
def port() -> Generator[int]:
    store = dist.TCPStore(HOST, 0, is_master=True, wait_for_workers=False)
    yield store.port


class Member:
    """One of two processes, as far as the pulse goes."""

    def __init__(self, port: int, rank: int, *, hang_seconds: float = 60, silent_seconds: float = 60) -> None:
        self.heard: list[str] = []
        self.left: list[int] = []
        self.pulse = Pulse(HOST, port, "test", rank, 2, hang_seconds, self.heard.append, self.left.append, silent_seconds)


def wait_for(condition, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it didn't come about"
        time.sleep(0.05)


def test_a_process_that_fails_ends_the_other_with_its_reason(port: int) -> None:
    first, second = Member(port, 0), Member(port, 1)
    with first.pulse:
        with pytest.raises(ValueError, match="broken"), second.pulse:
            raise ValueError("it is broken")
        wait_for(lambda: first.left)
    assert first.heard == ["process 1 of 2 failed: it is broken"]
    assert first.left == [1]


def test_one_that_ends_well_is_no_failure(port: int) -> None:
    first, second = Member(port, 0, silent_seconds=1), Member(port, 1)
    with first.pulse:
        with second.pulse:
            pass
        time.sleep(4)
    assert not first.heard
    assert not first.left


def test_one_that_falls_silent_is_named(port: int) -> None:
    """Its machine was switched off: nothing is heard any more, not even an end."""
    first, second = Member(port, 0, silent_seconds=2), Member(port, 1)
    with first.pulse:
        second.pulse._say()
        wait_for(lambda: first.left)
    assert "process 1 of 2 has given no sign of life" in first.heard[0]


def test_a_hang_is_told_with_the_step_of_each_process(port: int) -> None:
    first, second = Member(port, 0, hang_seconds=3), Member(port, 1, hang_seconds=60)
    with first.pulse, second.pulse:
        first.pulse.tick(7)
        second.pulse.tick(6)
        wait_for(lambda: first.left)
    assert "nothing has moved for 0.05 min (hang_minutes)" in first.heard[0]
    assert "process 0: step 7, process 1: step 6" in first.heard[0]


def test_one_that_moves_is_no_hang(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_BEAT_SECONDS", 0.2)
    first, second = Member(port, 0, hang_seconds=3), Member(port, 1, hang_seconds=60)
    with first.pulse, second.pulse:
        for step in range(10):
            second.pulse.tick(step)
            time.sleep(0.6)
    assert not first.left


def test_after_all_stood_still_nobody_passes_for_silent_or_hung(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended job, a machine asleep: who looks first hears what the others said before."""
    monkeypatch.setattr(pulse, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(pulse, "_BEAT_SECONDS", 0.1)
    first, second = Member(port, 0, hang_seconds=3, silent_seconds=3), Member(port, 1)
    second.pulse._say()
    with first.pulse:
        wait_for(lambda: first.pulse._peers[1].word)
        clock = time.monotonic
        monkeypatch.setattr(pulse.time, "monotonic", lambda: clock() + 3600)
        time.sleep(1)
    assert first.left == [] and first.heard == []


def test_without_its_launcher_a_process_has_time_to_save(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the launcher goes the store; the process was asked to save and leave, which may take long."""
    one = Member(port, 0).pulse
    assert one._grace_seconds() == pulse._GRACE_SECONDS
    monkeypatch.setattr(pulse.os, "getppid", lambda: 1)
    assert one._grace_seconds() == pulse._ORPHAN_SECONDS
