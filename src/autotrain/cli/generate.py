"""Answer one prompt, or a file of them, with a run or a model.

On a terminal the answers come as blocks to read; into a file or a pipe, as JSON lines.
"""

import argparse
from pathlib import Path

from autotrain.cli.chat import ANSWER_FIELDS, add_answer_arguments, add_model_argument
from autotrain.cli.targets import check_writes_text
from autotrain.cli.worker import become_worker
from autotrain.errors import ConfigError, DataError

_SUFFIXES = (".txt", ".csv", ".jsonl", ".json", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `autotrain generate`."""
    add_model_argument(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--prompts",
        metavar="FILE",
        help="a prompt a line (.txt), or rows with a column prompt, text or messages (.csv, .jsonl, .json, .parquet)",
    )
    source.add_argument("--prompt", metavar="TEXT", help="one prompt")
    parser.add_argument("--output", metavar="FILE", help="write JSON lines to this file instead")
    parser.add_argument("--overwrite", action="store_true", help="replace --output if it exists")
    add_answer_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check model, prompts and output, then become the worker.  Raises UserErrors."""
    check_writes_text(args.model)
    if args.prompts is not None:
        _check_prompts(Path(args.prompts))
    if args.output is not None:
        check_output(Path(args.output), args.overwrite)
    fields = (*ANSWER_FIELDS, "prompt", "prompts", "output")
    become_worker("answers", {name: vars(args)[name] for name in fields})


def _check_prompts(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"--prompts: no file {path}")
    if path.suffix.lower() not in _SUFFIXES:
        raise DataError(f"--prompts: {path} is none of {', '.join(_SUFFIXES)}")
    if path.stat().st_size == 0:
        raise DataError(f"--prompts: {path} is empty")


def check_output(path: Path, overwrite: bool) -> None:
    """Raise ConfigError unless `path` may be written."""
    if path.is_dir():
        raise ConfigError(f"--output: {path} is a folder; name a file")
    if path.exists() and not overwrite:
        raise ConfigError(f"--output: {path} exists; replace it with --overwrite, or name another file")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--output: no folder {path.parent} to write to")
