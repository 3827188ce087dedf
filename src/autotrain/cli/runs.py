"""List the runs of this machine, the latest first."""

import argparse
import os
import sqlite3
import sys
import time
from pathlib import Path

from autotrain.errors import RunFolderError
from autotrain.home import home
from autotrain.runs import Run, list_runs

_HEADER = ("NAME", "STAGE", "STEP", "LOSS", "STARTED", "FOLDER")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def run(args: argparse.Namespace) -> int:
    """Write the list to standard output."""
    try:
        runs = list_runs()
    except (OSError, sqlite3.Error) as problem:
        raise RunFolderError(f"the registry of runs in {home()} can't be read: {problem}; set AUTOTRAIN_HOME") from problem
    if not runs:
        sys.stdout.write("no runs yet; start one: autotrain --config FILE\n")
        return 0
    sys.stdout.write(_table([_HEADER, *(_row(one) for one in runs)]))
    return 0


def _row(one: Run) -> tuple[str, ...]:
    step = f"{one.step}/{one.total_steps}" if one.total_steps else "-"
    loss = "-" if one.loss is None else f"{one.loss:.4f}"
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.entry.started))
    return one.entry.name, one.stage, step, loss, started, _short(one.entry.folder)


def _short(folder: Path) -> str:
    """The folder as one would type it from here."""
    here, there = os.getcwd(), str(folder)
    return os.path.relpath(there, here) if there.startswith(here + os.sep) else there


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
