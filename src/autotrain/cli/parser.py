"""argparse, with mistakes answered like all others: one message, the nearest name, exit code 2."""

import argparse
import os
import shutil
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from autotrain.config.base import nearest
from autotrain.errors import ConfigError

HELP_WIDTH = 110


class Parser(argparse.ArgumentParser):
    """No abbreviations; `renamed` maps options of other tools to ours."""

    def __init__(self, prog: str | None = None, description: str | None = None, **settings: Any) -> None:
        settings.setdefault("formatter_class", _HelpFormatter)
        settings["allow_abbrev"] = False
        super().__init__(prog, description=description, **settings)
        self.renamed: Mapping[str, str] = MappingProxyType({})

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}; see {self.prog} --help")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error("; ".join(self._unknown(unknown, list(args or ()))))
        return found

    def options(self) -> list[str]:
        """All options, those of subcommands included."""
        found: list[str] = []
        for action in self._actions:
            found += action.option_strings
            if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
                for sub in action.choices.values():
                    found += sub.options() if isinstance(sub, Parser) else []
        return found

    def _unknown(self, unknown: list[str], arguments: list[str]) -> list[str]:
        """A sentence for each argument that nobody took; values after an unknown option belong to it."""
        options = [one for one in unknown if one.startswith("-")]
        if options:
            return [self._unknown_option(option.partition("=")[0]) for option in options]
        return [self._stray(value, arguments) for value in unknown[:1]]

    def _unknown_option(self, option: str) -> str:
        name = option.lstrip("-").replace("-", "_")
        if name in self.renamed:
            return f"unknown option {option}; here it is called {self.renamed[name]}"
        guess = nearest(option, self.options())
        return f"unknown option {option}" + (f"; did you mean {guess}?" if guess else "")

    def _stray(self, value: str, arguments: list[str]) -> str:
        position = arguments.index(value) if value in arguments else 0
        before = arguments[position - 1] if position else ""
        if before.startswith("--") and value.lower() in ("true", "false", "yes", "no", "1", "0"):
            off = f"--no-{before.removeprefix('--')}"
            return f"{before} takes no value ('{value}'); write {before}, or {off} to turn it off"
        return f"unexpected argument '{value}'"


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **settings: Any) -> None:
        columns = int(os.environ.get("COLUMNS", 0)) or shutil.get_terminal_size().columns
        super().__init__(prog, max_help_position=34, width=min(columns, HELP_WIDTH) - 2)
