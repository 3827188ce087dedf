"""Holding rows back: a data file becomes two, one to train on and one to validate on, each with the user's own line numbers.

A row that goes into one file leaves empty lines in the other, which readers pass over.
"""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autotrain.app.uploads.encoding import UTF_8
from autotrain.app.uploads.mend import MAX_CELL_CHARACTERS, MAX_WRAPPED_BYTES

FEWEST_ROWS = 50  # of fewer, none can be spared
MOST_HELD_BACK = 50
_SHARE = 10

# The lines of each row of a file, and whether they are names of columns or empty.
Rows = Iterator[tuple[str, bool]]


def can_hold_back(path: Path, kind: str) -> bool:
    """Whether it is a kind that can be parted here."""
    return kind in _READERS and (kind != "json" or path.stat().st_size <= MAX_WRAPPED_BYTES)


def hold_back(whole: Path, kind: str, train: Path, valid: Path) -> int:
    """Write `train` and `valid` from `whole`.

    Returns how many rows are held back: 0, and nothing is written, if they are few.
    """
    try:
        num_rows = sum(not is_beside for _, is_beside in _READERS[kind](whole))
    except csv.Error:
        return 0  # whoever reads it next says where it is broken
    if num_rows < FEWEST_ROWS:
        return 0
    step = max(_SHARE, num_rows // MOST_HELD_BACK)
    number = num_held = 0
    with train.open("w", encoding=UTF_8, newline="") as trained, valid.open("w", encoding=UTF_8, newline="") as validated:
        for lines, is_beside in _READERS[kind](whole):
            gap = "\n" * lines.count("\n")
            if is_beside:
                trained.write(lines)
                validated.write(lines)
                continue
            number += 1
            is_held = number % step == 0
            num_held += is_held
            trained.write(gap if is_held else lines)
            validated.write(lines if is_held else gap)
    return num_held


def _lines(path: Path) -> Rows:
    with path.open(encoding=UTF_8, errors="surrogateescape", newline="") as file:
        for line in file:
            yield line if line.endswith("\n") else line + "\n", not line.strip()


def _records(path: Path) -> Rows:
    """Rows of a CSV file, which may go over several lines."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    taken: list[str] = []

    def feed(lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            taken.append(line if line.endswith("\n") else line + "\n")
            yield line

    has_header = False
    with path.open(encoding=UTF_8, errors="surrogateescape", newline="") as file:
        for cells in csv.reader(feed(file)):
            text = "".join(taken)
            taken.clear()
            yield text, not cells or not has_header
            has_header = has_header or bool(cells)


def _values(path: Path) -> Rows:
    """Rows of a JSON array, each written on a line of its own; one that can't be read whole isn't parted."""
    try:
        value: Any = json.loads(path.read_text(encoding=UTF_8))
    except (ValueError, RecursionError):
        return
    is_rows = isinstance(value, list) and all(isinstance(row, dict) for row in value)
    for row in value if is_rows else ():
        yield json.dumps(row, ensure_ascii=False) + "\n", False


_READERS: MappingProxyType[str, Callable[[Path], Rows]] = MappingProxyType(
    {"csv": _records, "jsonl": _lines, "txt": _lines, "json": _values}
)
