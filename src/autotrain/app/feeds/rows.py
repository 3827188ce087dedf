"""Rows of JSON-lines files that are shown in part: sample answers, rows left out."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from autotrain.run_folder import open_own

Row = dict[str, Any]


class Page(NamedTuple):
    """Some rows, and how many there are in all."""

    total: int
    rows: list[Row]


def last_rows(file: Path, most: int) -> list[Row]:
    """The last `most` rows."""
    from collections import deque

    return [row for line in deque(_lines(file), maxlen=most) if (row := _parse(line))]


def page(file: Path, offset: int, limit: int) -> Page:
    """Rows from `offset` on."""
    total, chosen = 0, list[bytes]()
    for line in _lines(file):
        if offset <= total < offset + limit:
            chosen.append(line)
        total += 1
    return Page(total, [row for line in chosen if (row := _parse(line))])


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with open_own(file) as opened:
            yield from (line for line in opened if line.endswith(b"\n"))
    except OSError:
        return


def _parse(line: bytes) -> Row:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
