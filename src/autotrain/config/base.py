"""The strict pydantic base of all settings, and how its complaints are worded."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from autotrain.errors import ConfigError


class Settings(BaseModel):
    """Frozen; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), hide_input_in_errors=True)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that `name` was most likely meant to be, or None."""
    matches = difflib.get_close_matches(name.lower().replace("-", "_"), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def unknown_key_message(key: str, known: Iterable[str], foreign: Mapping[str, str]) -> str:
    """One sentence on an unknown key; `foreign` maps names of other tools to ours."""
    known = list(known)
    if key in foreign:
        return f"unknown key '{key}'; here it is called '{foreign[key]}'"
    guess = nearest(key, known)
    hint = f"; did you mean '{guess}'?" if guess else f"; known keys: {', '.join(sorted(known))}"
    return f"unknown key '{key}'{hint}"


def describe(error: ValidationError, where: str, names: Mapping[str, str] | None = None) -> ConfigError:
    """Turn pydantic's complaints into one ConfigError; `names` renames fields as the user wrote them."""
    lines = []
    for problem in error.errors(include_url=False):
        location = ".".join(str(part) for part in problem["loc"][:1])
        location = (names or {}).get(location, location)
        message = problem["msg"].removeprefix("Value error, ")
        given = problem.get("input")
        shown = f" (got {given!r})" if location and _is_plain(given) else ""
        lines.append(f"{where}: {location}: {message}{shown}" if location else f"{where}: {message}")
    return ConfigError("\n".join(lines))


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | list) or value is None
