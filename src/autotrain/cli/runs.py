"""List runs, the latest first: those of this machine and those it started in the cloud; or show, follow, stop, remove or
resume one.  RUN is its number, its name, or its folder."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from types import MappingProxyType

from autotrain import log
from autotrain.cli import runs_shown
from autotrain.cli.chat import positive_int
from autotrain.errors import ConfigError
from autotrain.runs import Run, list_runs
from autotrain.runs.stages import RESUMABLE, UNKNOWN

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
    parser.add_argument("--json", action="store_true", help="write the list as JSON, for scripts")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    found: dict[str, argparse.ArgumentParser] = {}
    for name, text in _ACTIONS.items():
        found[name] = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        found[name].add_argument("run", metavar="RUN", help="number or name from the list, or the run's folder")
    found["show"].add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="write it as JSON, for scripts"
    )
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
    found["rm"].add_argument("--remote", action="store_true", help="cloud: delete the Space that it ran in too")
    found["rm"].add_argument("--yes", action="store_true", help="don't ask before deleting")
    found["resume"].add_argument("--backend", metavar="NAME", help="where to go on (default: where it was started)")
    found["resume"].add_argument("--detach", action="store_true", help="cloud: don't wait for the run")
    found["resume"].add_argument("--yes", action="store_true", help="cloud: start without asking on the terminal")


def run(args: argparse.Namespace) -> int:
    """Write the list, or do what was asked with one run.  Raises UserErrors."""
    if args.action is None:
        return _list(as_json=args.json)
    if args.json and args.action != "show":
        raise ConfigError(f"--json: for the list and for show; runs {args.action} doesn't write JSON")
    from autotrain.cli import one_run

    actions = {
        "show": one_run.show,
        "logs": one_run.logs,
        "stop": one_run.stop,
        "rm": one_run.remove,
        "resume": one_run.resume,
    }
    return actions[args.action](args)


def _list(*, as_json: bool) -> int:
    runs = list_runs()
    if any(one.entry.cloud for one in runs):
        from autotrain.cloud.live import ask_those_that_may_go_on

        runs = ask_those_that_may_go_on(runs)
    if as_json:
        sys.stdout.write(log.mask(runs_shown.as_json([runs_shown.as_object(one) for one in runs])))
    elif runs:
        columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        sys.stdout.write(runs_shown.run_table(runs, columns) + _hint(runs))
    else:
        sys.stdout.write("no runs yet; start one: autotrain --config FILE\n")
    for reason in dict.fromkeys(one.reason for one in runs if one.stage == UNKNOWN and one.reason):
        numbers = ", ".join(str(one.entry.id) for one in runs if one.stage == UNKNOWN and one.reason == reason)
        log.notice(f"{numbers}: where it stands isn't known: {reason}")
    return 0


def _hint(runs: Sequence[Run]) -> str:
    resumable = [one for one in runs if one.stage in RESUMABLE][:_MAX_HINTS]
    commands = ", or ".join(f"autotrain runs resume {one.entry.id} ({one.entry.name})" for one in resumable)
    return f"\ngo on where one stopped: {commands}\n" if commands else ""
