"""Who is asked to leave saves first, however often and by whom it is asked."""

import os
import signal
import time

import pytest

from autotrain.training.signals import StopSignal


def deliver(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0)  # Python runs the handler here


def test_a_second_ctrl_c_leaves_at_once():
    with StopSignal() as stop:
        deliver(signal.SIGINT)
        assert stop.number == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            deliver(signal.SIGINT)


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGHUP])
def test_a_machine_that_goes_down_asks_more_than_once_and_the_run_still_saves(first: int, second: int):
    with StopSignal() as stop:
        deliver(first)
        deliver(second)
        assert stop.number == (signal.SIGINT if first == signal.SIGINT else signal.SIGTERM)


def test_under_nohup_a_closed_terminal_is_nothing():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignal() as stop:
            deliver(signal.SIGHUP)
            assert not stop.asked()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_afterwards_signals_mean_what_they_meant():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with StopSignal():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
