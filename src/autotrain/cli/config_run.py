"""Train as a config says."""

import argparse
from types import MappingProxyType

from autotrain.cli.machine_options import add_machine_options, machine_options
from autotrain.cli.parser import Parser
from autotrain.cli.start import add_start_arguments, start
from autotrain.config.surface import knobs
from autotrain.errors import ConfigError
from autotrain.trainers.clm.names import FOREIGN_NAMES

_MACHINES = ("devices", "nodes", "node_rank", "master", "max_restarts")


def add_arguments(parser: Parser) -> None:
    """The options of `autotrain --config`."""
    parser.add_argument("--config", metavar="FILE_OR_URL", help="the config: .yml, .yaml or .json")
    add_start_arguments(parser)
    add_machine_options(parser.add_argument_group("devices and machines; these win over the config"), _MACHINES)
    in_config = {knob.name: f"params.{knob.name}, in the config" for knob in knobs() if knob.name not in _MACHINES}
    parser.renamed = MappingProxyType(in_config | _foreign())


def run(args: argparse.Namespace) -> int:
    """Read the config, and run it or show it."""
    if not args.config:
        raise ConfigError("autotrain: no config given; write autotrain --config FILE_OR_URL, or see autotrain --help")
    from autotrain.config.load import load_config

    return start(load_config(args.config, dry_run=args.dry_run, options=machine_options(args, _MACHINES)), args)


def _foreign() -> dict[str, str]:
    return {foreign: f"params.{ours}, in the config" for foreign, ours in FOREIGN_NAMES.items()}
