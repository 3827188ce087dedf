"""Fields that `autotrain --config` and `autotrain launch` take as options too, over what the config says of them."""

import argparse
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from autotrain.config.surface import knobs

_METAVARS = MappingProxyType({"node_rank": "R", "master": "HOST:PORT"})


def add_machine_options(section: Any, names: Sequence[str], help: Mapping[str, str] = MappingProxyType({})) -> None:
    """Declare an option for each field; what isn't given leaves no trace.  help: what isn't said as the field says it."""
    known = {knob.name: knob for knob in knobs()}
    for name in names:
        option, *others = known[name].options
        settings: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "metavar": _METAVARS.get(name, "N")}
        section.add_argument(option, **settings, help=help.get(name, known[name].help.removesuffix(".")))
        if others:
            section.add_argument(*others, **settings, help=argparse.SUPPRESS)


def machine_options(args: argparse.Namespace, names: Sequence[str]) -> dict[str, str]:
    """Field -> text of the options that were given."""
    return {name: getattr(args, name) for name in names if hasattr(args, name)}
