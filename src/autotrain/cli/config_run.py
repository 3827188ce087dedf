"""Train as a config says."""

import argparse
from types import MappingProxyType

from autotrain.cli.launch import add_launch_arguments, launch
from autotrain.cli.parser import Parser
from autotrain.config.surface import knobs
from autotrain.errors import ConfigError
from autotrain.trainers.clm.names import FOREIGN_NAMES


def add_arguments(parser: Parser) -> None:
    """The options of `autotrain --config`."""
    parser.add_argument("--config", metavar="FILE_OR_URL", help="the config: .yml, .yaml or .json")
    add_launch_arguments(parser)
    parser.renamed = MappingProxyType({knob.name: f"params.{knob.name}, in the config" for knob in knobs()} | _foreign())


def run(args: argparse.Namespace) -> int:
    """Read the config, and run it or show it."""
    if not args.config:
        raise ConfigError("autotrain: no config given; write autotrain --config FILE_OR_URL, or see autotrain --help")
    from autotrain.config.load import load_config

    return launch(load_config(args.config, dry_run=args.dry_run), args)


def _foreign() -> dict[str, str]:
    return {foreign: f"params.{ours}, in the config" for foreign, ours in FOREIGN_NAMES.items()}
