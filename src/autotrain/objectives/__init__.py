"""Training methods: one file each; this folder is the registry.

A module here declares `NAMES`, the trainers it serves, and `from_settings(settings) -> Objective`.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from autotrain.errors import ConfigError
from autotrain.objectives.base import Objective

# What the methods share; no methods themselves.
_SHARED = ("base", "sequences")


def available() -> dict[str, str]:
    """Trainer name -> module that serves it."""
    return {name: module.__name__ for module in _modules() for name in module.NAMES}


def build(trainer: str, settings: Mapping[str, Any]) -> Objective:
    """The objective behind a trainer's name.  Raises ConfigError for a name that no file here serves."""
    for module in _modules():
        if trainer in module.NAMES:
            return module.from_settings(settings)
    raise ConfigError(f"trainer: no objective '{trainer}' here; there are: {', '.join(sorted(available()))}")


def _modules() -> list[ModuleType]:
    names = [info.name for info in pkgutil.iter_modules(__path__) if info.name not in _SHARED]
    return [importlib.import_module(f"{__name__}.{name}") for name in names]
