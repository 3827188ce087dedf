"""What is made from the fields of LLMTrainingParams: options, the JSON Schema, the reference page."""

import types
import typing
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic.fields import FieldInfo

from autotrain.trainers.clm.names import LOSS_TYPES, OPTIMIZERS, SCHEDULERS
from autotrain.trainers.clm.params import CHAT_TEMPLATES, TRACKERS, LLMTrainingParams

GROUPS = MappingProxyType(
    {
        "model": "What is trained",
        "data": "Data",
        "lengths": "Lengths",
        "optimisation": "Optimisation",
        "adapter": "Adapter, precision and memory",
        "machines": "Devices and machines",
        "preference": "Preference training",
        "saving": "Watching, saving, stopping",
        "hub": "Hugging Face Hub",
    }
)


@dataclass(frozen=True)
class Knob:
    """One field as a user meets it.

    kind: "switch" (true or false), "whole number", "number", "text".
    choices: the values that it may take, if they are few; "none" among them stands for None.
    limits: such as "> 0", or "".
    """

    name: str
    kind: str
    default: Any
    help: str
    group: str
    unit: str
    trainers: tuple[str, ...]
    choices: tuple[str, ...]
    limits: str

    @property
    def options(self) -> tuple[str, ...]:
        """The option in both spellings, --kebab-case first; one, where they are the same."""
        return _spellings("", self.name)

    @property
    def off_options(self) -> tuple[str, ...]:
        """What turns a switch off, in both spellings."""
        return _spellings("no_", self.name) if self.kind == "switch" else ()

    @property
    def default_text(self) -> str:
        return written(self.default)


def written(value: Any) -> str:
    """A value as a config would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


@cache
def knobs() -> tuple[Knob, ...]:
    """All fields, in the order of their declaration."""
    return tuple(_knob(name, field) for name, field in LLMTrainingParams.model_fields.items())


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the parameters."""
    return LLMTrainingParams.model_json_schema()


def reference_page() -> str:
    """docs/reference/parameters.md."""
    lines = [_HEAD]
    for group, title in GROUPS.items():
        lines += [f"## {title}", "", "| parameter | default | values | what it does |", "| --- | --- | --- | --- |"]
        lines += [_row(knob) for knob in knobs() if knob.group == group]
        lines.append("")
    lines += ["## Optimizers", "", _names(OPTIMIZERS), "", "## Schedulers", "", _names(SCHEDULERS)]
    return "\n".join(lines) + "\n"


_HEAD = """\
# Parameters

<!-- Made from the fields of LLMTrainingParams by `autotrain schema --markdown`; edit the fields, not this page. -->

Each parameter can be set under `params:` in a config, as a field of `LLMTrainingParams` in Python, and as an option
of `autotrain llm`, written with hyphens or underscores (`--batch-size`, `--batch_size`). A switch is turned off with
`--no-` before its name. `none` stands for "no value" everywhere.
"""


def _row(knob: Knob) -> str:
    values = ", ".join(f"`{choice}`" for choice in knob.choices) or " ".join(filter(None, (_kind(knob), knob.limits)))
    only = f" Only for {', '.join(knob.trainers)}." if knob.trainers else ""
    return f"| `{knob.name}` | `{knob.default_text}` | {values} | {knob.help.replace('|', chr(92) + '|')}{only} |"


def _kind(knob: Knob) -> str:
    if knob.kind == "switch":
        return "`true`, `false`"
    return f"{knob.kind} ({knob.unit})" if knob.unit else knob.kind


def _names(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _spellings(start: str, name: str) -> tuple[str, ...]:
    snake = start + name
    return tuple(dict.fromkeys((f"--{snake.replace('_', '-')}", f"--{snake}")))


def _knob(name: str, field: FieldInfo) -> Knob:
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    trainers = extra.get("trainers", [])
    types_ = _plain_types(field.annotation)
    return Knob(
        name=name,
        kind=_kind_of(types_),
        default=field.default,
        help=field.description or "",
        group=str(extra["group"]),
        unit=str(extra.get("unit", "")),
        trainers=tuple(str(trainer) for trainer in trainers) if isinstance(trainers, list) else (),
        choices=_choices(name, types_),
        limits=_limits(field),
    )


def _plain_types(annotation: Any) -> list[Any]:
    """The members of a union, without Annotated around them."""
    if typing.get_origin(annotation) is Annotated:
        return _plain_types(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return [plain for member in typing.get_args(annotation) for plain in _plain_types(member)]
    return [annotation]


def _kind_of(types_: list[Any]) -> str:
    kinds = {bool: "switch", int: "whole number", float: "number"}
    return next((kinds[one] for one in types_ if one in kinds), "text")


def _choices(name: str, types_: list[Any]) -> tuple[str, ...]:
    named = {"chat_template": ("none", *CHAT_TEMPLATES), "log": TRACKERS, "loss_type": LOSS_TYPES}
    if name in named:
        return named[name]
    literal = next((one for one in types_ if typing.get_origin(one) is Literal), None)
    if literal is None:
        return ()
    values = tuple(str(value) for value in typing.get_args(literal))
    return (*values, "none") if type(None) in types_ else values


def _limits(field: FieldInfo) -> str:
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    found = [
        f"{sign} {value}"
        for limit in field.metadata
        for name, sign in signs.items()
        if (value := getattr(limit, name, None)) is not None
    ]
    return ", ".join(found)
