"""Train as a config says."""

import argparse

from autotrain.cli.launch import add_launch_arguments, launch
from autotrain.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `autotrain --config`."""
    parser.add_argument("--config", metavar="FILE_OR_URL", help="the config: .yml, .yaml or .json")
    add_launch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Read the config, and run it or show it."""
    if not args.config:
        raise ConfigError("autotrain: no config given; write autotrain --config FILE_OR_URL, or see autotrain --help")
    from autotrain.config.load import load_config

    return launch(load_config(args.config, dry_run=args.dry_run), args)
