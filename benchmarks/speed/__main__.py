"""`python -m benchmarks.speed run|render|list`: see --help."""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.speed import report, results
from benchmarks.speed.machine import BUSY_SHARE, load_now, processor
from benchmarks.speed.measure import Choices, measure
from benchmarks.speed.model import find_folder
from benchmarks.speed.sides import SideFailed
from benchmarks.speed.works import (
    ABLATED,
    LLAMA_FACTORY_PROGRAM,
    PACKED,
    QUICK,
    TRL,
    TRL_PROGRAM,
    WORKS,
    Side,
    Work,
    ablations,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"
PYTHON_WITH_TRL = ROOT / ".venv-parity" / "bin" / "python"
IDLE_SHARE = 0.10  # of all processors, taken by others before the first run


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Mode:
    """name: of its file of results.  works: measured where none are named.  sizes: instead of each work's own.

    peers: compared with where none are named; None for each work's own.
    """

    name: str
    works: Sequence[str]
    sizes: Mapping[str, int]
    peers: Sequence[str] | None = None


FULL = Mode("speed", tuple(WORKS), {})
SHORT = Mode("quick", QUICK, {"timed_steps": 1, "batch_size": 2}, (TRL.name, PACKED.name))
ABLATION = Mode("ablation", ABLATED, {"warmup_steps": 2, "timed_steps": 6})  # of our side alone, more can be afforded


def mode_of(arguments: argparse.Namespace) -> Mode:
    return SHORT if arguments.quick else ABLATION if arguments.ablation else FULL


def chosen_works(arguments: argparse.Namespace) -> list[Work]:
    """The works asked for, with the number of steps and the peers asked for."""
    mode = mode_of(arguments)
    asked = {"batch_size": arguments.batch_size, "warmup_steps": arguments.warmup, "timed_steps": arguments.steps}
    sizes = {**mode.sizes, **{name: size for name, size in asked.items() if size is not None}}
    works = [WORKS[name] for name in arguments.only or mode.works]
    sized = [work if work.starts else replace(work, **sizes) for work in works]
    return [replace(work, peers=peers_of(work, arguments)) for work in sized]


def peers_of(work: Work, arguments: argparse.Namespace) -> Sequence[Side]:
    """What the work is compared with; LLaMA-Factory only where its environment is given."""
    peers = ablations(work) if arguments.ablation else work.peers
    wanted = arguments.peers or mode_of(arguments).peers
    there = pythons_of(arguments)
    return [
        peer
        for peer in peers
        if (wanted is None or peer.name in wanted) and (peer.ours is not None or peer.program in there)
    ]


def pythons_of(arguments: argparse.Namespace) -> dict[str, Path]:
    """Of the other programs' environments that are given, by the programs' names; not resolved, a link is what finds it."""
    given = {TRL_PROGRAM: arguments.python_with_trl, LLAMA_FACTORY_PROGRAM: arguments.python_with_llama_factory}
    return {program: python.absolute() for program, python in given.items() if python is not None}


def check_pythons(arguments: argparse.Namespace) -> None:
    """Raises SystemExit where another program's environment is missing."""
    if arguments.ablation:
        return
    there = pythons_of(arguments)
    if not there[TRL_PROGRAM].exists():
        raise SystemExit(f"no {there[TRL_PROGRAM]}: `make bench` sets up TRL")
    python = there.get(LLAMA_FACTORY_PROGRAM)
    if python is not None and not python.exists():
        raise SystemExit(f"--python-with-llama-factory: no {python}; docs/benchmarks.md says how to set up LLaMA-Factory")
    if python is None and any(peer.startswith(LLAMA_FACTORY_PROGRAM) for peer in arguments.peers or ()):
        raise SystemExit("LLaMA-Factory runs in an environment of its own: give --python-with-llama-factory its python")


def results_file(arguments: argparse.Namespace) -> Path:
    """The file asked for, or each kind of run its own."""
    return arguments.results or RESULTS / f"{mode_of(arguments).name}.json"


def run(arguments: argparse.Namespace) -> int:
    """Measure, and keep each work's result as soon as it is there."""
    file, here = results_file(arguments), processor()
    try:
        results.check_processor(results.read_results(file), here)
    except results.OtherProcessor as problem:
        raise SystemExit(str(problem)) from None
    load = load_now()
    if load > IDLE_SHARE and not arguments.allow_busy:
        raise SystemExit(
            f"the machine isn't idle: others take {load:.0%} of it; wait, or give --allow-busy and have the results marked"
        )
    check_pythons(arguments)
    choices = Choices(
        folder=arguments.folder.resolve(),
        model=find_folder(arguments.model, arguments.folder.resolve()),
        pythons=pythons_of(arguments),
        data=arguments.data.resolve() if arguments.data else None,
        repeat=arguments.repeat or (2 if arguments.quick else 5),
        all_rounds=arguments.all_rounds,
        start_rows=arguments.start_rows,
        say=say,
    )
    say(f"{here}; others take {load:.1%} of it (measurements are marked from {BUSY_SHARE:.0%} on)")
    failed = False
    for work in chosen_works(arguments):
        if work.missing:
            say(f"{work.name}: skipped, {work.missing}")
            continue
        try:
            entry = measure(work, choices)
        except SideFailed as problem:
            failed = True
            say(f"{work.name}: {problem}")
            continue
        entry |= {"command": command_line(arguments)}
        results.write_results(file, results.merged(results.read_results(file), work.name, entry, here))
        say(report.speed_table({work.name: entry}) if not work.starts else report.start_table({work.name: entry}))
    return 1 if failed else 0


def command_line(arguments: argparse.Namespace) -> str:
    """What to type for the same again, without this machine's folders."""
    words = ["python -m benchmarks.speed run"]
    words += ["--quick"] if arguments.quick else []
    words += ["--ablation"] if arguments.ablation else []
    words += ["--only", *arguments.only] if arguments.only else []
    words += ["--peers", *arguments.peers] if arguments.peers else []
    for name in ("repeat", "steps", "warmup", "batch_size"):
        value = getattr(arguments, name)
        words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    words += ["--all-rounds"] if arguments.all_rounds else []
    words += ["--data", "DATA"] if arguments.data else []
    words += ["--model", "MODEL"] if arguments.model else []
    words += ["--python-with-llama-factory", "PYTHON"] if arguments.python_with_llama_factory else []
    return " ".join(words)


def render(arguments: argparse.Namespace) -> int:
    """Write or show the table."""
    text = report.page_part(results.read_results(arguments.results or RESULTS / "speed.json"))
    if arguments.write:
        report.write_page(arguments.page, text)
    else:
        say(text)
    return 0


def list_works(_: argparse.Namespace) -> int:
    """Show what can be measured."""
    for work in WORKS.values():
        say(f"{work.name:26} {work.data:11} against {', '.join(peer.name for peer in work.peers)}  {work.missing}")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m benchmarks.speed", description="How fast training is, beside TRL.")
    commands = top.add_subparsers(required=True)
    runs = commands.add_parser("run", help="measure, and put the results into a file")
    runs.add_argument("--quick", action="store_true", help="two works, two pairs, one step: under three minutes")
    runs.add_argument("--ablation", action="store_true", help="ours alone: from no fast path to all of them")
    runs.add_argument("--only", nargs="+", choices=WORKS, metavar="WORK", help="these works; see `list`")
    runs.add_argument("--peers", nargs="+", metavar="PEER", help="of what a work is compared with, only these")
    runs.add_argument("--repeat", type=int, help="pairs of runs; 5 unless --quick")
    runs.add_argument("--all-rounds", action="store_true", help="every side in every round; otherwise tuned TRL in two")
    runs.add_argument("--steps", type=int, help="optimizer steps that are timed, instead of each work's own number")
    runs.add_argument("--warmup", type=int, help="optimizer steps before them")
    runs.add_argument("--batch-size", type=int, help="rows or pairs of a step")
    runs.add_argument("--start-rows", type=int, default=50_000, help="rows of the work `start`")
    runs.add_argument("--data", type=Path, help="a folder with chat/, preference/, text/, each with train.jsonl")
    runs.add_argument("--model", type=Path, help="a model's folder; otherwise SmolLM2-135M, converted once")
    runs.add_argument("--allow-busy", action="store_true", help="measure though the machine isn't idle")
    runs.add_argument("--folder", type=Path, default=ROOT / "build" / "speed", help="for runs and logs")
    runs.add_argument("--python-with-trl", type=Path, default=PYTHON_WITH_TRL)
    runs.add_argument("--python-with-llama-factory", type=Path, help="compare with LLaMA-Factory, too, of this environment")
    runs.set_defaults(act=run)
    renders = commands.add_parser("render", help="make the table of the results")
    renders.add_argument("--write", action="store_true", help="put it into the page")
    renders.add_argument("--page", type=Path, default=PAGE, help=f"otherwise {PAGE.relative_to(ROOT)}")
    renders.set_defaults(act=render)
    commands.add_parser("list", help="the works").set_defaults(act=list_works)
    for one in (runs, renders):
        one.add_argument("--results", type=Path, help=f"the file of results; otherwise one in {RESULTS.relative_to(ROOT)}")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the run under way is ended, too
    arguments = parser().parse_args(argv)
    return arguments.act(arguments)


if __name__ == "__main__":
    sys.exit(main())
