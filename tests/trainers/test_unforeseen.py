"""What the worker says of errors that nobody expected."""

import errno
import os
import signal

import pytest

from autotrain.trainers.clm import __main__ as worker
from autotrain.trainers.clm.__main__ import unforeseen


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), Exception("No space left on device (os error 28)")]
)
def test_a_full_disk_is_a_sentence_whichever_library_met_it(error: Exception) -> None:
    told = unforeseen(error)
    assert told.startswith("a disk is full (")
    assert "Traceback" not in told


def test_anything_else_keeps_its_traceback() -> None:
    try:
        raise ZeroDivisionError("by hand")
    except ZeroDivisionError as error:
        assert "ZeroDivisionError: by hand" in unforeseen(error)


def test_ctrl_c_that_a_library_takes_for_a_missing_module_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Regression: pressed while transformers was imported, it was a traceback and exit code 1."""

    def load(arguments: list[str]) -> int:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            raise ModuleNotFoundError("Could not import module 'PreTrainedModel'") from error
        return 0

    monkeypatch.setattr(worker, "_entry", lambda name, started: load)
    before = signal.getsignal(signal.SIGINT)
    assert worker.main(["train"]) == 130
    assert "error: interrupted; what was not saved yet is lost" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) == before
