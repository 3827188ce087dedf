"""Show what a config would train on: rows as the model sees them, and which tokens count."""

import argparse

from autotrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `autotrain inspect`."""
    parser.add_argument("--config", required=True, metavar="FILE_OR_URL", help="the config: .yml, .yaml or .json")
    parser.add_argument("--json", action="store_true", help="one JSON object: rows, tokens, amounts, what stands in the way")
    parser.add_argument("--rows", default="3", metavar="N", help="number of rows to show (default: 3)")


def run(args: argparse.Namespace) -> int:
    """Start the worker's `inspect` and return its exit code."""
    if not args.rows.isascii() or not args.rows.isdigit() or int(args.rows) < 1:
        raise ConfigError(f"--rows: must be a number of rows, such as 3 (got '{args.rows}')")
    from autotrain.backends.base import Job
    from autotrain.backends.local import run_worker
    from autotrain.base_models import find_model
    from autotrain.config.load import load_config

    # Nothing is pushed, so what only pushing needs may be missing, as in a dry run.
    params = load_config(args.config, dry_run=True).params
    find_model(params.model)
    return run_worker("inspect", Job(params), ["--rows", args.rows, *(["--json"] if args.json else [])]).exit_code or 0
