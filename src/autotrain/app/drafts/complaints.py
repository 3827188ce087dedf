"""What is wrong with a value, in the reader's language, by the field that it stands in."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from autotrain.app.words import t
from autotrain.config.base import complaints, nearest
from autotrain.trainers.clm.names import LOSS_TYPES, OPTIMIZERS, SCHEDULERS

# pydantic's error types, by their beginnings -> key of the words.
_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "int_": "whole",
        "float_": "number",
        "finite_number": "number",
        "bool_": "switch",
        "string_": "text",
        "greater_than_equal": "at_least",
        "greater_than": "above",
        "less_than_equal": "at_most",
        "less_than": "below",
        "literal_error": "one_of",
    }
)
_OWN: Mapping[str, str] = MappingProxyType(
    {"project_name": "name", "block_size": "block_size", "chat_template": "chat_template", "loss_type": "loss_type"}
)
_NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {"optimizer": OPTIMIZERS, "scheduler": SCHEDULERS, "loss_type": frozenset(LOSS_TYPES)}
)
_TOO_LONG = re.compile(r"(\w+) \((\d+)\) must not be larger than (\w+) \((\d+)\)")


def told(error: ValidationError) -> dict[str, str]:
    """Field -> sentence; "" for what belongs to none."""
    found: dict[str, str] = {}
    plain = dict(complaints(error))
    for problem in error.errors(include_url=False):
        field = str(problem["loc"][0]) if problem["loc"] else ""
        if not field:
            found |= _of_several(problem)
        elif field not in found:
            found[field] = _sentence(field, problem) or plain.get(field, problem["msg"])
    return found


def _of_several(problem: ErrorDetails) -> dict[str, str]:
    """Rules on several fields, each told at the field that breaks it."""
    message = problem["msg"].removeprefix("Value error, ")
    too_long = _TOO_LONG.findall(message)
    if too_long:
        return {
            name: t("complaints.too_long", value=value, bound=bound, limit=limit) for name, value, bound, limit in too_long
        }
    name = "loss_weights" if message.startswith("loss_weights") else ""
    return {name: t("complaints.loss_weights") if name else message}


def _sentence(field: str, problem: ErrorDetails) -> str | None:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind == "value_error":
        return _own(field, problem.get("input"))
    key = next((key for start, key in _KINDS.items() if kind.startswith(start)), None)
    if key is None:
        return None
    limit = next((context[name] for name in ("ge", "gt", "le", "lt") if name in context), "")
    allowed = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
    return t(f"complaints.{key}", limit=_short(limit), allowed=allowed)


def _own(field: str, given: Any) -> str | None:
    if field in _NAMES:
        guess = nearest(str(given), _NAMES[field])
        return t("complaints.unknown_name_guess", guess=guess) if guess else t("complaints.unknown_name")
    key = _OWN.get(field)
    return t(f"complaints.{key}") if key else None


def _short(limit: Any) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
