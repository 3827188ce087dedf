"""The strict pydantic base of all settings, and how its complaints are worded."""

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from autotrain.errors import ConfigError

# pydantic's error types (their beginnings) in the words of someone who wrote a config.
_WORDING = MappingProxyType(
    {
        "int_": "must be a whole number",
        "float_": "must be a number",
        "finite_number": "must be a finite number",
        "bool_": "must be true or false",
        "string_": "must be text",
        "list_": "must be a list",
        "dict_": "must be a mapping",
    }
)


class Settings(BaseModel):
    """Frozen; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), hide_input_in_errors=True)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that `name` was most likely meant to be, or None."""
    by_spelling = {one.lower().replace("-", "_"): one for one in reversed(list(known))}
    matches = difflib.get_close_matches(name.lower().replace("-", "_"), by_spelling, n=1, cutoff=0.6)
    return by_spelling[matches[0]] if matches else None


def unknown_key_message(key: str, known: Iterable[str], foreign: Mapping[str, str]) -> str:
    """One sentence on an unknown key; `foreign` maps names of other tools to ours."""
    known = list(known)
    if key in foreign:
        return f"unknown key '{key}'; here it is called '{foreign[key]}'"
    guess = nearest(key, known)
    hint = f"; did you mean '{guess}'?" if guess else f"; known keys: {', '.join(sorted(known))}"
    return f"unknown key '{key}'{hint}"


def complaints(error: ValidationError) -> list[tuple[str, str]]:
    """What pydantic found, as (field, sentence) with one sentence a field; the field is "" for rules on several."""
    found: dict[tuple[str, str], None] = {}
    worded: set[str] = set()
    for problem in error.errors(include_url=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        if field in worded and len(problem["loc"]) > 1:
            continue  # another branch of the same union
        worded.add(field)
        found[field, _sentence(field, problem, may_be_none=_may_be_none(error.title, field))] = None
    return list(found)


def describe(error: ValidationError, where: str, names: Mapping[str, str] | None = None) -> ConfigError:
    """Turn pydantic's complaints into one ConfigError; `names` renames fields as the user wrote them."""
    names = names or {}
    lines = [
        f"{where}: {names.get(field, field)}: {sentence}" if field else f"{where}: {sentence}"
        for field, sentence in complaints(error)
    ]
    return ConfigError("\n".join(lines))


def _may_be_none(settings: str, field: str) -> bool:
    """Whether None is a value of `field` in the class of this name."""
    known = next((one for one in _all_settings(Settings) if one.__name__ == settings), None)
    return bool(known and field in known.model_fields and type(None) in get_args(known.model_fields[field].annotation))


def _all_settings(base: type[Settings]) -> list[type[Settings]]:
    return [found for one in base.__subclasses__() for found in (one, *_all_settings(one))]


def _sentence(field: str, problem: ErrorDetails, *, may_be_none: bool) -> str:
    kind, given = problem["type"], problem.get("input")
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    worded = next((words for start, words in _WORDING.items() if kind.startswith(start)), None)
    if kind == "literal_error":
        message = f"must be one of {', '.join([*_expected(problem), *(['none'] if may_be_none else [])])}"
    elif kind == "missing":
        return "is missing"
    elif worded:
        message = worded
    shown = f" (got {given!r})" if field and field != "token" and _is_plain(given) else ""
    return message + shown + _hint(problem)


def _expected(problem: ErrorDetails) -> list[str]:
    expected = str(problem.get("ctx", {}).get("expected", ""))
    return [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]


def _hint(problem: ErrorDetails) -> str:
    given = problem.get("input")
    if problem["type"] == "string_type" and isinstance(given, int | float):
        return "; put it in quotes"
    if problem["type"] == "literal_error" and isinstance(given, str):
        guess = nearest(given, _expected(problem))
        return f"; did you mean '{guess}'?" if guess else ""
    return ""


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | list) or value is None
