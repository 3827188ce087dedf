"""Training on a GPU: checks that the fast paths compute what the plain ones do, then measures them beside TRL.

    python benchmarks/gpu.py                        # on a machine with an NVIDIA GPU; under 8 minutes
    python benchmarks/gpu.py --device cpu --tiny    # the same code on a small model, to see that it runs

Models have random weights at the shapes of Llama-3.2-1B and Llama-3.1-8B; nothing is downloaded.  It needs this package's
own requirements; what else is installed (trl, bitsandbytes, flash_attn, liger_kernel) is measured too, and what isn't is
named.  Prints a table, writes JSON, and exits with 1 where losses or gradients disagree or a run of ours fails.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.on_gpu.works import Side, Work

ROOT = Path(__file__).resolve().parents[1]
NO_CUDA = "no CUDA device here: torch.cuda.is_available() is False; to see it run: --device cpu --tiny"


def main(argv: Sequence[str] | None = None) -> int:
    """Run it all; returns the exit code."""
    arguments = _options().parse_args(argv)
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # with several, TRL asks for another way to be started
    import torch

    if arguments.device == "cuda" and not torch.cuda.is_available():
        _say(NO_CUDA)
        return 2
    if arguments.device == "cpu" and not arguments.tiny:
        _say("--device cpu goes with --tiny: the full shapes would take days on a processor")
        return 2
    return _run(arguments, time.monotonic() + 60 * arguments.minutes)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models, few steps")
    parser.add_argument("--minutes", type=float, default=7.5, help="when they are over, what is left is skipped")
    parser.add_argument("--rounds", type=int, default=2, help="how often both sides are measured in turn")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of a run")
    parser.add_argument("--only", default="", help="works and sides whose name contains this, e.g. '8B dpo'")
    parser.add_argument("--json", type=Path, default=Path("build/gpu-benchmark.json"), help="where the figures go")
    return parser


def _run(arguments: argparse.Namespace, deadline: float) -> int:
    import torch
    from transformers.utils import logging

    from benchmarks.on_gpu import measure, parity, report, works

    logging.disable_progress_bar()
    device = torch.device(arguments.device, 0) if arguments.device == "cuda" else torch.device("cpu")
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "a processor"
    peak = works.peak_of(card)
    _say(f"{card}; {', '.join(f'{name} {number}' for name, number in report.versions().items())}")

    checks = parity.check(device, ("tiny",) if arguments.tiny else ("tiny", "mid"))
    _say(report.parity_table(checks))

    setting = measure.Setting(device, 96 if arguments.tiny else 1024, 2, arguments.steps)
    plan = _plan(works.TINY_WORKS if arguments.tiny else works.WORKS, arguments)
    measured = measure.joined(measure.run_all(plan, setting, lambda: time.monotonic() > deadline))
    _say(report.table(measured, peak))

    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(report.as_json(card, peak, checks, measured), indent=1), encoding="utf-8")
    _say(f"written to {arguments.json}")
    return 0 if report.is_right(checks, measured) else 1


def _plan(chosen: "Sequence[Work]", arguments: argparse.Namespace) -> "list[tuple[Work, Side]]":
    """All runs: round by round, and in a round work by work, the sides in turn."""
    from benchmarks.on_gpu.works import extra_sides, sides_of

    one_round = [(work, side) for work in chosen for side in sides_of(work)]
    extra = [(chosen[0], side) for side in extra_sides(arguments.device)]
    runs = [*one_round, *extra, *one_round * (arguments.rounds - 1)]
    return [(work, side) for work, side in runs if arguments.only in f"{work.name} {side.name}"]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
