"""Talk with a run or a model, in the terminal or through a pipe."""

import argparse

from autotrain.cli.targets import check_writes_text
from autotrain.cli.worker import become_worker

# Fields of a request that the worker takes as they are.
ANSWER_FIELDS = ("model", "base", "system", "max_new_tokens", "temperature", "top_p", "seed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `autotrain chat`."""
    add_model_argument(parser)
    add_answer_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Check what was named, then become the worker.  Raises RunFolderError, ModelError."""
    check_writes_text(args.model)
    become_worker("chat", {name: vars(args)[name] for name in ANSWER_FIELDS})


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """The positional argument of chat and generate."""
    parser.add_argument(
        "model",
        metavar="RUN_OR_MODEL",
        help="run folder, adapter, model folder, GGUF file, hub id, or smollm2-135m",
    )


def add_answer_arguments(parser: argparse.ArgumentParser) -> None:
    """Options on how answers are made."""
    parser.add_argument("--base", action="store_true", help="also show what the model answered before training")
    parser.add_argument("--system", metavar="TEXT", help="a system message to begin with")
    parser.add_argument(
        "--max-new-tokens",
        "--max_new_tokens",
        type=positive_int,
        default=512,
        metavar="N",
        help="longest answer, in tokens (512)",
    )
    parser.add_argument(
        "--temperature", type=non_negative, default=0.0, metavar="T", help="0 takes the likeliest token; above 0 samples (0)"
    )
    parser.add_argument(
        "--top-p",
        "--top_p",
        type=share,
        default=1.0,
        metavar="P",
        help="sample among the likeliest tokens that make up this share (1)",
    )
    parser.add_argument("--seed", type=int, default=42, help="seed of sampling (42)")


def positive_int(text: str) -> int:
    """For argparse: a whole number above 0."""
    value = int(text) if text.lstrip("+").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is needed, not {text!r}")
    return value


def non_negative(text: str) -> float:
    """For argparse: a number of at least 0."""
    value = _number(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"a number of at least 0 is needed, not {text!r}")
    return value


def share(text: str) -> float:
    """For argparse: a number above 0, at most 1."""
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"a number above 0 and at most 1 is needed, not {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number is needed, not {text!r}") from None
