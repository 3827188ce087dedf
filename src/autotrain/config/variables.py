"""`${NAME}` and `${NAME:-default}` in config values."""

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


class UnsetVariable(Exception):
    """A variable without a value and without a default."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class BadReference(Exception):
    """Something that begins like a variable and isn't one."""


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Put the environment's values into `text`.  As in the shell, `:-` also stands in for an empty value.

    Raises UnsetVariable, and BadReference for `${{NAME}}`, `${}` and the like.
    """

    def value(match: re.Match[str]) -> str:
        found, default = environment.get(match["name"]), match["default"]
        if found or (found is not None and default is None):
            return found
        if default is None:
            raise UnsetVariable(match["name"])
        return default

    if "${" in _VARIABLE.sub("", text):
        raise BadReference(text)
    return _VARIABLE.sub(value, text)
