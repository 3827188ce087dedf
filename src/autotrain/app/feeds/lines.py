"""A log of any length, by the numbers of its lines: where they begin is kept, the text isn't."""

import os
import threading
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from autotrain import log
from autotrain.run_folder import open_own

_READ_BYTES = 1_000_000
# The beginning of every so many-th line is kept: 8 bytes for 32 lines.
_STRIDE = 32
_LINE_BYTES = 8_000
MAX_LINES = 2_000


class Found(NamedTuple):
    """line: number of the line that was looked for, None if there's none.  matches: how many lines have the text."""

    line: int | None
    matches: int


class Lines:
    """The lines of one file, read on as it grows; read anew when it was cut or replaced.  Secrets are masked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin(None, 0)

    def size(self, file: Path | None) -> int:
        """How many lines there are."""
        with self._lock:
            self._read_on(file)
            return self._num_lines

    def lines(self, file: Path | None, first: int, count: int) -> list[str]:
        """At most `count` lines from number `first` on, counted from 0, without their ends."""
        if first < 0 or count <= 0:
            return []
        with self._lock:
            self._read_on(file)
            last = min(first + min(count, MAX_LINES), self._num_lines)
            if file is None or first >= last:
                return []
            start, skipped = self._starts[first // _STRIDE], first % _STRIDE
        try:
            with open_own(file) as opened:
                opened.seek(start)
                found = [opened.readline() for _ in range(skipped + last - first)]
        except OSError:
            return []
        return [_shown(line) for line in found[skipped:]]

    def find(self, file: Path | None, text: str, from_line: int, backwards: bool) -> Found:
        """The nearest line from `from_line` on, or before it, with `text`, of whatever case."""
        wanted = text.casefold()
        if not wanted or file is None:
            return Found(None, 0)
        after: int | None = None
        before: int | None = None
        matches = 0
        try:
            with open_own(file) as opened:
                for number, line in enumerate(_texts(opened)):
                    if wanted in line.casefold():
                        matches += 1
                        before = number if number <= from_line else before
                        after = number if after is None and number >= from_line else after
        except OSError:
            return Found(None, 0)
        return Found(before if backwards else after, matches)

    def _begin(self, file: Path | None, inode: int) -> None:
        self._file, self._inode = file, inode
        self._starts = array("Q", [0])
        self._num_lines = self._position = 0

    def _read_on(self, file: Path | None) -> None:
        try:
            if file is None:
                return self._begin(None, 0)
            with open_own(file) as opened:
                about = os.fstat(opened.fileno())
                if file != self._file or about.st_ino != self._inode or about.st_size < self._position:
                    self._begin(file, about.st_ino)
                opened.seek(self._position)
                while text := opened.read(_READ_BYTES):
                    self._take(text)
        except OSError:
            self._begin(None, 0)

    def _take(self, text: bytes) -> None:
        end = text.find(b"\n")
        while end >= 0:
            self._num_lines += 1
            if self._num_lines % _STRIDE == 0:
                self._starts.append(self._position + end + 1)
            end = text.find(b"\n", end + 1)
        self._position += len(text)


def _texts(opened: BinaryIO) -> Iterator[str]:
    for line in opened:
        if line.endswith(b"\n"):
            yield _shown(line)


def _shown(line: bytes) -> str:
    text = line[:_LINE_BYTES].decode("utf-8", errors="replace").rstrip("\r\n")
    return log.mask(text.rpartition("\r")[2])
