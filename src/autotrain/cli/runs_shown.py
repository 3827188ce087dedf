"""Runs as the terminal and as scripts see them: a table that fits, and JSON."""

import json
import math
import os
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autotrain.runs import Run

_HEADER = ("ID", "NAME", "STAGE", "STEP", "LOSS", "STARTED", "BACKEND", "WHERE")
_NAME = 1
_LEFT_OUT_WHERE_NARROW = ("STARTED", "BACKEND")  # autotrain runs show tells them
_GAP = "  "
_SHORTEST = 16  # columns that a name keeps, and a place where there's room
_SHORTEST_PLACE = 8


def as_object(one: Run) -> dict[str, Any]:
    """What is known about a run, for a script; times in seconds since the epoch."""
    entry, cloud = one.entry, one.entry.cloud
    return {
        "id": entry.id,
        "name": entry.name,
        "stage": one.stage,
        "is_live": one.is_live,
        "reason": one.reason,
        "step": one.step,
        "total_steps": one.total_steps,
        "loss": one.loss if one.loss is not None and math.isfinite(one.loss) else None,
        "started": entry.started,
        "heartbeat": one.heartbeat,
        "backend": entry.backend,
        "folder": None if cloud else str(entry.folder),
        "process": None if cloud else entry.pid,
        "job": cloud.job_id if cloud else None,
        "url": cloud.url if cloud else None,
        "result": cloud.repo_id if cloud else None,
    }


def as_json(value: object) -> str:
    """With a line end, and in ASCII: every terminal and reader takes it."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def run_table(runs: Sequence[Run], columns: int | None) -> str:
    """A line a run under a header.  columns: of the terminal, which it then fits if it can; None for no bound."""
    rows = [_HEADER, *(_row(one) for one in runs)]
    if columns is not None and _widest(rows) > columns:
        rows = _fitted(rows, columns)
    widths = _widths(rows)
    return "".join(
        _GAP.join(_filled(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in rows
    )


def _row(one: Run) -> tuple[str, ...]:
    entry = one.entry
    step = f"{one.step}/{one.total_steps}" if one.total_steps else "-"
    loss = "-" if one.loss is None else f"{one.loss:.4f}"
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.started))
    where = entry.cloud.url or entry.cloud.job_id if entry.cloud else _from_here(entry.folder)
    cells = (str(entry.id), entry.name, one.stage, step, loss, started, entry.backend, where)
    return tuple("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cell) for cell in cells)


def _from_here(folder: Path) -> str:
    """The folder as one would type it from here."""
    there = str(folder)
    try:
        here = os.getcwd()
    except OSError:  # it was deleted
        return there
    return os.path.relpath(there, here) if there.startswith(here + os.sep) else there


def _fitted(rows: Sequence[tuple[str, ...]], columns: int) -> list[tuple[str, ...]]:
    """Long places are cut, then columns left out, then long names cut; what still doesn't fit is broken by the terminal."""
    kept = [index for index, title in enumerate(_HEADER) if title not in _LEFT_OUT_WHERE_NARROW]
    narrow = [tuple(row[index] for index in kept) for row in rows]
    short = [(*row[:_NAME], _cut(row[_NAME], _SHORTEST), *row[_NAME + 1 :]) for row in narrow]
    tries = [(table, columns - _widest([row[:-1] for row in table]) - len(_GAP)) for table in (rows, narrow, short)]
    table, room = next(((table, room) for table, room in tries if room >= _SHORTEST), tries[-1])
    return [(*row[:-1], _cut(row[-1], max(room, _SHORTEST_PLACE))) for row in table]


def _cut(text: str, columns: int) -> str:
    """`text` in at most so many columns, its end rather than its beginning kept."""
    if _columns(text) <= columns:
        return text
    while text and _columns(text) >= columns:
        text = text[1:]
    return f"\N{HORIZONTAL ELLIPSIS}{text}"


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(_columns(row[index]) for row in rows) for index in range(len(rows[0]))]


def _widest(rows: Sequence[tuple[str, ...]]) -> int:
    return sum(_widths(rows)) + len(_GAP) * (len(rows[0]) - 1)


def _filled(cell: str, columns: int) -> str:
    return cell + " " * (columns - _columns(cell))


def _columns(text: str) -> int:
    """Columns on a terminal: two for the wide characters of Chinese and others, none for accents of their own."""
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
