"""What the worker says of errors that nobody expected."""

import errno
import os

import pytest

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
