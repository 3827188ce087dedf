"""The metrics of a run as they come: rows from a position on, and whether they are still those of before.

A position is where in metrics.jsonl a row ends.  A resumed run cuts the file back to its checkpoint and goes on from
there, so a mark keeps a check of what stood before the position.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from autotrain.run_folder import open_own

# A row takes some 300 bytes; what is read at once, and how far back the row before a position is looked for.
_READ_BYTES = 256_000
_BACK_BYTES = 8_192

Row = dict[str, Any]


class News(NamedTuple):
    """Rows after a position, and the position after them.

    is_anew: what was read before is no longer so (the run was resumed or replaced): begin again, from position 0.
    """

    position: int
    rows: list[Row]
    is_anew: bool = False


def read_since(file: Path, position: int) -> News:
    """Whole rows after `position`, some hundred at most, with `tokens_per_second`."""
    try:
        with open_own(file) as opened:
            size = opened.seek(0, 2)
            if position > size:
                return News(0, [], is_anew=True)
            start = max(0, position - _BACK_BYTES)
            opened.seek(start)
            before, new = opened.read(position - start), opened.read(_READ_BYTES)
    except OSError:
        return News(0, [], is_anew=position > 0)
    if before and not before.endswith(b"\n"):
        return News(0, [], is_anew=True)
    whole, end, _ = new.rpartition(b"\n")
    rows = [row for line in whole.split(b"\n") if (row := parse(line))]
    previous = next((row for line in reversed(before.split(b"\n")) if is_step(row := parse(line))), {})
    return News(position + len(whole) + len(end), with_speed(rows, previous))


def mark(file: Path, position: int) -> str:
    """`position` with a check of the row before it, for who comes back later: the id of an event."""
    return f"{position}-{_check(file, position):08x}"


def read_mark(file: Path, said: str) -> int | None:
    """The position that `mark` was made of, if what stood before it still does; else None."""
    position, _, check = said.partition("-")
    if not (position.isascii() and position.isdigit() and len(position) < 16):
        return None
    return int(position) if check == f"{_check(file, int(position)):08x}" else None


def last_rows(file: Path) -> list[Row]:
    """The last training steps that were logged: a few hundred at most."""
    try:
        with open_own(file) as opened:
            opened.seek(max(0, opened.seek(0, 2) - 64_000))
            lines = opened.read().split(b"\n")[:-1]
    except OSError:
        return []
    return [row for line in lines if (row := parse(line))]


def with_speed(rows: list[Row], previous: Mapping[str, Any]) -> list[Row]:
    """The same rows; those of training steps say how many tokens a second went by since the one before."""
    found: list[Row] = []
    for row in rows:
        if is_step(row):
            speed = _speed(row, previous)
            previous = row
            row = row if speed is None else {**row, "tokens_per_second": speed}
        found.append(row)
    return found


def is_step(row: Mapping[str, Any]) -> bool:
    """Whether a row tells of a training step, and not of a validation."""
    return "tokens" in row and "seconds" in row


def parse(line: bytes) -> Row:
    """{} for what isn't a row."""
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else {}


def _speed(row: Mapping[str, Any], previous: Mapping[str, Any]) -> float | None:
    tokens = row["tokens"] - previous.get("tokens", 0)
    seconds = row["seconds"] - previous.get("seconds", 0.0)
    return round(tokens / seconds, 1) if seconds > 0 and tokens >= 0 else None


def _check(file: Path, position: int) -> int:
    start = max(0, position - _BACK_BYTES)
    try:
        with open_own(file) as opened:
            opened.seek(start)
            return zlib.crc32(opened.read(position - start))
    except OSError:
        return 0
