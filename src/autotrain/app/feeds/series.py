"""The whole course of a run's metrics, held in columns, and drawn with few points."""

import math
import os
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autotrain.app.feeds.tail import Row, is_step, parse, with_speed
from autotrain.run_folder import open_own

Points = list[list[float | int]]

_READ_BYTES = 1_000_000
# Of each metric; beyond, every second point of the older half goes.  12 bytes a point.
MAX_POINTS = 200_000


class Column:
    """One metric: steps, ascending, and values."""

    def __init__(self) -> None:
        self.steps, self.values = array("q"), array("d")

    def append(self, step: int, value: float) -> None:
        self.steps.append(step)
        self.values.append(value)
        if len(self.steps) > MAX_POINTS:
            half = MAX_POINTS // 2
            self.steps = self.steps[:half:2] + self.steps[half:]
            self.values = self.values[:half:2] + self.values[half:]

    def points(self, first: float | None, last: float | None, most: int) -> Points:
        """Those from step `first` to `last`, at most about `most` of them, lowest and highest of each stretch kept."""
        start = 0 if first is None else bisect_left(self.steps, first)
        end = len(self.steps) if last is None else bisect_right(self.steps, last)
        chosen = range(start, end) if end - start <= most else _thinned(self.values, start, end, most)
        return [[self.steps[index], self.values[index]] for index in chosen]


class Series:
    """The metrics in one file, read on as it grows; read anew when it was cut back or replaced."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._columns: dict[str, Column] = {}
        self._position = self._inode = 0
        self._last_line = b""
        self._previous: Row = {}

    def names(self) -> list[str]:
        """All metrics that were logged, in the order in which they appeared."""
        with self._lock:
            self._read_on()
            return list(self._columns)

    def history(
        self, names: Sequence[str], first: float | None, last: float | None, points: int
    ) -> tuple[int, dict[str, Points]]:
        """The position up to which was read, and each metric's points; metrics that weren't logged have none."""
        with self._lock:
            self._read_on()
            columns = {name: self._columns.get(name) for name in names}
            return self._position, {name: one.points(first, last, points) if one else [] for name, one in columns.items()}

    def _read_on(self) -> None:
        try:
            with open_own(self.file) as opened:
                about = os.fstat(opened.fileno())
                if about.st_ino != self._inode or not self._goes_on(opened):
                    self._begin(about.st_ino)
                opened.seek(self._position)
                while self._take(opened.read(_READ_BYTES)):
                    opened.seek(self._position)
        except OSError:
            self._begin(0)

    def _begin(self, inode: int) -> None:
        self._columns, self._position, self._inode = {}, 0, inode
        self._last_line, self._previous = b"", {}

    def _goes_on(self, opened: Any) -> bool:
        """Whether what was read last still stands there."""
        opened.seek(self._position - len(self._last_line))
        return opened.read(len(self._last_line)) == self._last_line

    def _take(self, text: bytes) -> bool:
        """Take the whole lines of `text`; whether there were any."""
        end = text.rfind(b"\n") + 1
        if not end:
            return False
        lines = text[:end].splitlines(keepends=True)
        for line in lines:
            row = parse(line)
            if row:
                self._add(row)
        self._position += end
        self._last_line = lines[-1]
        return True

    def _add(self, row: Row) -> None:
        if is_step(row):
            (row,), self._previous = with_speed([row], self._previous), row
        step = row["step"]
        for name, value in row.items():
            if name != "step" and isinstance(value, int | float) and math.isfinite(value):
                if name not in self._columns:
                    self._columns[name] = Column()
                self._columns[name].append(step, value)


def _thinned(values: "array[float]", start: int, end: int, most: int) -> list[int]:
    """Indices of lowest and highest of `most` / 2 stretches, and of both ends."""
    num_stretches = max(1, most // 2)
    chosen = {start, end - 1}
    for number in range(num_stretches):
        low, high = (start + (end - start) * edge // num_stretches for edge in (number, number + 1))
        stretch = values[low:high]
        if stretch:
            chosen.add(low + stretch.index(min(stretch)))
            chosen.add(low + stretch.index(max(stretch)))
    return sorted(chosen)
