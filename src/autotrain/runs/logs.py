"""What a local run has said: its log file, line by line, followed until it ends."""

import io
import os
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from autotrain.run_folder import LOG_FILE, is_own_file, open_own
from autotrain.runs.registry import Entry, latest
from autotrain.runs.stages import look_at

_POLL_SECONDS = 0.5


def log_file(entry: Entry) -> Path | None:
    """The log in the run folder; before there's one, or without one, what a run in the background printed.  No link."""
    candidates = [entry.folder / LOG_FILE, *([entry.output] if entry.output else [])]
    return next((file for file in candidates if is_own_file(file)), None)


def read_lines(file: Path, last: int | None = None) -> list[str]:
    """The lines of a log, or its `last` ones, without their ends.  Raises OSError."""
    with io.TextIOWrapper(open_own(file), encoding="utf-8", errors="replace") as lines:
        return [line.rstrip("\n") for line in (lines if last is None else deque(lines, maxlen=last))]


def follow(entry: Entry, last: int | None = None) -> Iterator[str]:
    """The lines of a run's log, or its `last` ones, and then those that come, until the run has ended.

    Waits for a log that isn't there yet, and for a run that waits for its turn.  A log that is begun anew (--overwrite) is
    read from its beginning.  Raises RunFolderError if the run is taken out of the list meanwhile.
    """
    file = _wait_for_log(entry)
    if file is None:
        return
    growing = _Growing(file)
    is_first = True
    while True:
        entry = latest(entry)
        is_live = look_at(entry).is_live  # asked first: what a run says as it ends isn't missed
        lines = growing.read_lines()
        yield from lines[-last:] if is_first and last else lines
        is_first = False
        if not is_live:
            break
        time.sleep(_POLL_SECONDS)
    if growing.unfinished:
        yield growing.unfinished.decode("utf-8", errors="replace")


def _wait_for_log(entry: Entry) -> Path | None:
    while True:
        entry = latest(entry)
        is_live = look_at(entry).is_live
        file = log_file(entry)
        if file or not is_live:
            return file
        time.sleep(_POLL_SECONDS)


class _Growing:
    """A file that somebody writes to.  unfinished: the beginning of its last line."""

    def __init__(self, file: Path) -> None:
        self.unfinished = b""
        self._file = file
        self._inode = 0
        self._position = 0

    def read_lines(self) -> list[str]:
        """The lines that have come since the last call; none while the file is away."""
        try:
            with open_own(self._file) as opened:
                about = os.fstat(opened.fileno())
                if about.st_ino != self._inode or about.st_size < self._position:
                    self._inode, self._position, self.unfinished = about.st_ino, 0, b""
                opened.seek(self._position)
                new = opened.read()
        except OSError:
            return []
        self._position += len(new)
        *lines, self.unfinished = (self.unfinished + new).split(b"\n")
        return [line.decode("utf-8", errors="replace") for line in lines]
