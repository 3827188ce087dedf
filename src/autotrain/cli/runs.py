"""List runs, the latest first: those of this machine and those it started in the cloud; or show, follow, stop, remove or
resume one.  RUN is its number, its name, or its folder."""

import argparse
import os
import sys
import time
from pathlib import Path
from types import MappingProxyType

from autotrain import log
from autotrain.cli.chat import positive_int
from autotrain.runs import Run, list_runs
from autotrain.runs.stages import RESUMABLE, UNKNOWN

_HEADER = ("ID", "NAME", "STAGE", "STEP", "LOSS", "STARTED", "BACKEND", "WHERE")
_ACTIONS = MappingProxyType(
    {
        "show": "where a run stands, where it lies, and what can be done with it",
        "logs": "what a run has said",
        "stop": "let a run save its state and leave, and end its whole process tree",
        "rm": "take a run out of the list, and if asked for off the disk",
        "resume": "go on with a run from its last checkpoint, as it was started",
    }
)
GRACE_SECONDS = 120
_MAX_HINTS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    found: dict[str, argparse.ArgumentParser] = {}
    for name, text in _ACTIONS.items():
        found[name] = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        found[name].add_argument("run", metavar="RUN", help="number or name from the list, or the run's folder")
    found["logs"].add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    found["logs"].add_argument(
        "-n", "--lines", type=positive_int, metavar="N", help="begin with the last N lines (not with -f in the cloud)"
    )
    found["stop"].add_argument(
        "--grace",
        type=positive_int,
        default=GRACE_SECONDS,
        metavar="SECONDS",
        help=f"how long a local run may take to save before it is ended by force (default: {GRACE_SECONDS} s)",
    )
    found["stop"].add_argument("--now", action="store_true", help="end a local run by force at once, without saving")
    found["rm"].add_argument("--folder", action="store_true", help="delete its folder too, with model and checkpoints")
    found["rm"].add_argument("--remote", action="store_true", help="cloud: delete the Space or job that it ran in too")
    found["rm"].add_argument("--yes", action="store_true", help="don't ask before deleting")
    found["resume"].add_argument("--backend", metavar="NAME", help="where to go on (default: where it was started)")
    found["resume"].add_argument("--detach", action="store_true", help="cloud: don't wait for the run")
    found["resume"].add_argument("--yes", action="store_true", help="cloud: start without asking on the terminal")


def run(args: argparse.Namespace) -> int:
    """Write the list, or do what was asked with one run.  Raises UserErrors."""
    if args.action is None:
        return _list()
    from autotrain.cli import one_run

    actions = {
        "show": one_run.show,
        "logs": one_run.logs,
        "stop": one_run.stop,
        "rm": one_run.remove,
        "resume": one_run.resume,
    }
    return actions[args.action](args)


def _list() -> int:
    runs = list_runs()
    if not runs:
        sys.stdout.write("no runs yet; start one: autotrain --config FILE\n")
        return 0
    if any(one.entry.cloud for one in runs):
        from autotrain.cloud.live import ask_those_that_may_go_on

        runs = ask_those_that_may_go_on(runs)
    sys.stdout.write(_table([_HEADER, *(_row(one) for one in runs)]))
    for reason in dict.fromkeys(one.reason for one in runs if one.stage == UNKNOWN and one.reason):
        numbers = ", ".join(str(one.entry.id) for one in runs if one.stage == UNKNOWN and one.reason == reason)
        log.notice(f"{numbers}: where it stands isn't known: {reason}")
    resumable = [one for one in runs if one.stage in RESUMABLE][:_MAX_HINTS]
    if resumable:
        commands = ", or ".join(f"autotrain runs resume {one.entry.id} ({one.entry.name})" for one in resumable)
        sys.stdout.write(f"\ngo on where one stopped: {commands}\n")
    return 0


def _row(one: Run) -> tuple[str, ...]:
    entry = one.entry
    step = f"{one.step}/{one.total_steps}" if one.total_steps else "-"
    loss = "-" if one.loss is None else f"{one.loss:.4f}"
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.started))
    where = entry.cloud.url or entry.cloud.job_id if entry.cloud else _short(entry.folder)
    return str(entry.id), entry.name, one.stage, step, loss, started, entry.backend, where


def _short(folder: Path) -> str:
    """The folder as one would type it from here."""
    here, there = os.getcwd(), str(folder)
    return os.path.relpath(there, here) if there.startswith(here + os.sep) else there


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines) + "\n"
