"""Score the answers of a file with a reward model; the scores are JSONL, one line a row."""

import argparse
from pathlib import Path

from autotrain.base_models import EMBEDDED, is_reward_model
from autotrain.cli.generate import check_output
from autotrain.cli.targets import check_target
from autotrain.cli.worker import become_worker
from autotrain.errors import DataError, ModelError

_SUFFIXES = (".csv", ".jsonl", ".json", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `autotrain score`."""
    parser.add_argument(
        "model", metavar="RUN_OR_MODEL", help="run folder, adapter, model folder or hub id of a reward model"
    )
    parser.add_argument(
        "--data",
        required=True,
        metavar="FILE",
        help="rows with prompt and answer, messages, or chosen and rejected (.csv, .jsonl, .json, .parquet)",
    )
    parser.add_argument("--output", metavar="FILE", help="write JSONL there instead of to the standard output")
    parser.add_argument("--overwrite", action="store_true", help="replace --output if it exists")


def run(args: argparse.Namespace) -> int:
    """Check model, data and output, then become the worker.  Raises UserErrors."""
    check_target(args.model)
    folder = Path(args.model).expanduser()
    if args.model in EMBEDDED or folder.suffix == ".gguf" or (folder.is_dir() and not is_reward_model(folder)):
        raise ModelError(f"{args.model} is no reward model and gives no scores; train one with task: llm-reward")
    _check_data(Path(args.data))
    if args.output is not None:
        check_output(Path(args.output), args.overwrite)
    become_worker("score", {name: vars(args)[name] for name in ("model", "data", "output")})


def _check_data(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"--data: no file {path}")
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"--data: {path} is none of {', '.join(_SUFFIXES)}")
    if path.stat().st_size == 0:
        raise DataError(f"--data: {path} is empty")
