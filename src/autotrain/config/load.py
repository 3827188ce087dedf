"""The documented config grammar -> LLMTrainingParams and a backend.

    task, base_model, project_name, log, backend
    data:    path, train_split, valid_split, chat_template, column_mapping: {text_column, ...}
    params:  any field of LLMTrainingParams; wins over all above
    hub:     username, token, push_to_hub, private, revision, push_checkpoints

`null` outside `params` means "not given".  Every fault is found before anything is refused.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from autotrain import log
from autotrain.config.base import complaints, nearest
from autotrain.config.document import Document, KeyPath, read_document
from autotrain.config.names import TASKS, backend_fault, runs_here, task_fault
from autotrain.config.variables import BadReference, UnsetVariable, substitute
from autotrain.errors import ConfigError
from autotrain.trainers.clm.names import FOREIGN_NAMES
from autotrain.trainers.clm.params import LLMTrainingParams

# Where each key of the grammar goes; params come last and win.
_COLUMNS = MappingProxyType(
    {
        "text_column": "text_column",
        "rejected_text_column": "rejected_text_column",
        "prompt_text_column": "prompt_text_column",
        "label_column": "label_column",
        "text": "text_column",
        "rejected_text": "rejected_text_column",
        "prompt": "prompt_text_column",
        "label": "label_column",
    }
)
_FIELDS = MappingProxyType({name: name for name in LLMTrainingParams.model_fields})
_LEVELS: Mapping[KeyPath, Mapping[str, str]] = MappingProxyType(
    {
        (): MappingProxyType({"base_model": "model", "project_name": "project_name", "log": "log"}),
        ("data",): MappingProxyType(
            {
                "path": "data_path",
                "train_split": "train_split",
                "valid_split": "valid_split",
                "chat_template": "chat_template",
            }
        ),
        ("data", "column_mapping"): _COLUMNS,
        ("hub",): MappingProxyType(
            {
                "username": "username",
                "token": "token",
                "push_to_hub": "push_to_hub",
                "private": "hub_private",
                "revision": "hub_revision",
                "push_checkpoints": "push_checkpoints",
            }
        ),
        ("params",): _FIELDS,
    }
)
# Keys of a level that are no fields themselves.
_SPECIAL: Mapping[KeyPath, tuple[str, ...]] = MappingProxyType(
    {(): ("task", "backend", "data", "params", "hub"), ("data",): ("column_mapping",)}
)
_REQUIRED = MappingProxyType(
    {
        "task": "one of llm, llm-sft, llm-generic, llm-dpo, llm-orpo, llm-reward",
        "base_model": "a hub id, a local folder, a GGUF file, or smollm2-135m",
        "project_name": "a name for the run and its folder",
        "data.path": "a data file, a folder of files, or a hub data set",
    }
)
_HUB_FIELDS = ("username", "token")
_YES = ("true", "yes", "on", "1", "y", "t")


@dataclass(frozen=True)
class Config:
    """What a config says.  `notes`: what its author should know, one sentence each."""

    params: LLMTrainingParams
    backend: str
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fault:
    """What is wrong with a config.  key: in full (`data.path`), "" for the whole.  line: where it stands, if known."""

    key: str
    text: str
    line: int | None = None


def load_config(
    source: str,
    *,
    dry_run: bool = False,
    environment: Mapping[str, str] | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
) -> Config:
    """Read a config from a file or address.  Raises ConfigError, one for all faults.

    options: field -> what an option says, which wins over the config.
    """
    known = os.environ if environment is None else environment
    return interpret(read_document(source), dry_run=dry_run, environment=known, options=options)


def interpret(
    document: Document,
    *,
    dry_run: bool,
    environment: Mapping[str, str],
    options: Mapping[str, str] = MappingProxyType({}),
) -> Config:
    """Make parameters of a config.  With `dry_run`, hub variables may be unset.  options: as for `load_config`.

    Raises ConfigError.
    """
    reading = _read(document, dry_run, environment, options)
    if reading.config is None:
        raise ConfigError(reading.message())
    return reading.config


def read_config(
    document: Document, *, dry_run: bool, environment: Mapping[str, str]
) -> tuple[Config | None, tuple[Fault, ...]]:
    """As `interpret`, with the faults one by one."""
    reading = _read(document, dry_run, environment)
    faults = (Fault(".".join(path), text, document.lines.get(path)) for path, text in reading.faults)
    return reading.config, tuple(faults)


def _read(
    document: Document, dry_run: bool, environment: Mapping[str, str], options: Mapping[str, str] = MappingProxyType({})
) -> "_Reading":
    reading = _Reading(document, environment)
    for path in _LEVELS:
        reading.take_level(path)
    reading.take_options(options)
    reading.take_task_and_backend()
    reading.resolve_variables(dry_run)
    reading.check_required()
    params = reading.validate()
    if params is not None and not reading.faults:
        reading.config = Config(params, reading.backend, document.source, tuple(reading.notes))
    return reading


class _Reading:
    """One pass over a document, gathering values, where each was written, and faults; `config` if there are none."""

    def __init__(self, document: Document, environment: Mapping[str, str]) -> None:
        self.document = document
        self.environment = environment
        self.values: dict[str, Any] = {}
        self.written: dict[str, KeyPath] = {}
        self.faults: list[tuple[KeyPath, str]] = []
        self.levels_with_unknown_keys: list[KeyPath] = []
        self.notes: list[str] = []
        self.task: Any = None
        self.backend = "local"
        self.config: Config | None = None

    def take_level(self, path: KeyPath) -> None:
        """Take the fields written directly under `path`, over those of earlier levels."""
        allowed = _LEVELS[path]
        for key, value in self._mapping(path).items():
            if not isinstance(key, str) or key not in {*allowed, *_SPECIAL.get(path, ())}:
                self._refuse_key(path, str(key))
            elif key in allowed and (value is not None or (path == ("params",) and key != "chat_template")):
                self.values[allowed[key]] = value
                self.written[allowed[key]] = (*path, key)

    def take_options(self, options: Mapping[str, str]) -> None:
        for field, value in options.items():
            self.values[field] = value
            self.written[field] = (f"--{field.replace('_', '-')}",)

    def take_task_and_backend(self) -> None:
        self.task = self._text("task")
        if self.task is not None:
            fault = task_fault(self.task)
            if fault:
                self.faults.append((("task",), fault))
            self._take_trainer(TASKS.get(self.task))
        backend = self._text("backend")
        if backend is not None:
            self.backend = backend
            fault = backend_fault(backend)
            if fault:
                self.faults.append((("backend",), fault))

    def _take_trainer(self, trainer: str | None) -> None:
        said = self.values.setdefault("trainer", trainer) if trainer else None
        if trainer and said != trainer:
            self.notes.append(f"params.trainer ({said}) wins over task ({self.task})")
        elif trainer:
            self.written.setdefault("trainer", ("task",))

    def resolve_variables(self, dry_run: bool) -> None:
        """Put the environment's values in; those of hub may be unset where nothing needs them."""
        push = self._resolved("push_to_hub", self.values.get("push_to_hub", False), required=True)
        hub_is_needed = not dry_run and (str(push).lower() in _YES or not runs_here(self.backend))
        unset: list[str] = []
        for field in list(self.values):
            value = self._resolved(field, self.values[field], required=hub_is_needed or field not in _HUB_FIELDS)
            if value is None and self.values[field] is not None:
                unset.append(".".join(self.written[field]))
                del self.values[field]
            else:
                self.values[field] = value
        if unset:
            names = " and ".join(unset)
            self.notes.append(f"{names}: the variable isn't set here; only pushing, the cloud and gated models need it")
        token = self.values.get("token")
        log.hide_secret(token if isinstance(token, str) else None)

    def _resolved(self, field: str, value: Any, *, required: bool) -> Any:
        """`value` with its variables replaced; None if one is unset and that is no fault."""
        if isinstance(value, list):
            return [self._resolved(field, one, required=required) for one in value]
        if not isinstance(value, str):
            return value
        path = self.written.get(field, (field,))
        try:
            return substitute(value, self.environment)
        except UnsetVariable as unset:
            if required:
                hint = f"set it (export {unset.name}=...), or write ${{{unset.name}:-default}}"
                self._fault(path, f"the variable {unset.name} isn't set; {hint}")
            return value if required else None
        except BadReference:
            self._fault(path, f"{value!r} is no variable; write ${{NAME}} or ${{NAME:-default}}")
            return value

    def check_required(self) -> None:
        given = {
            "task": self.document.values.get("task") is not None,
            "base_model": "model" in self.values,
            "project_name": "project_name" in self.values,
            "data.path": "data_path" in self.values,
        }
        for key, what in _REQUIRED.items():
            if not given[key]:
                self.faults.append((tuple(key.split(".")), f"is missing; give {what}"))

    def validate(self) -> LLMTrainingParams | None:
        """The parameters, or None with the faults noted."""
        faulty = {path for path, _ in self.faults}
        sound = {field: value for field, value in self.values.items() if self.written[field] not in faulty}
        try:
            return LLMTrainingParams(**sound)
        except ValidationError as error:
            for field, sentence in complaints(error):
                self.faults.append((self.written.get(field, (field,)) if field else (), sentence))
            return None

    def message(self) -> str:
        """All faults, in the order of the file, with what is allowed where a key was unknown."""
        ordered = sorted(self.faults, key=lambda fault: self.document.lines.get(fault[0], 0))
        lines = [": ".join(filter(None, (self._place(path), ".".join(path), text))) for path, text in ordered]
        for path in self.levels_with_unknown_keys:
            lines.append(f"keys {'of ' + '.'.join(path) if path else 'at the top level'}: {', '.join(_keys(path))}")
        if len(self.faults) > 1:
            lines = [f"{self.document.source}: {len(self.faults)} problems", *(f"  {line}" for line in lines)]
        return "\n".join(lines)

    def _place(self, path: KeyPath) -> str:
        """Where a fault stands: `file:line`, or nothing for an option."""
        return "" if path and path[0].startswith("--") else self.document.at(path)

    def _fault(self, path: KeyPath, text: str) -> None:
        if (path, text) not in self.faults:
            self.faults.append((path, text))

    def _text(self, key: str) -> str | None:
        value = self.document.values.get(key)
        if value is not None and not isinstance(value, str):
            self.faults.append(((key,), f"must be text (got {value!r})"))
            return None
        return None if value is None else str(self._resolved(key, value, required=True))

    def _mapping(self, path: KeyPath) -> Mapping[Any, Any]:
        values: Any = self.document.values
        for key in path:
            values = values.get(key) if isinstance(values, dict) else None
        if values is None:
            return {}
        if not isinstance(values, dict):
            self.faults.append((path, f"must be a mapping of keys to values; keys: {', '.join(_keys(path))}"))
            return {}
        return values

    def _refuse_key(self, path: KeyPath, key: str) -> None:
        self.faults.append(((*path, key), f"unknown key{_suggestion(path, key)}"))
        if path not in self.levels_with_unknown_keys:
            self.levels_with_unknown_keys.append(path)


def _keys(path: KeyPath) -> list[str]:
    return [*_SPECIAL.get(path, ()), *sorted(_LEVELS[path])]


def _suggestion(path: KeyPath, key: str) -> str:
    """What `key` under `path` was probably meant to be."""
    if key in FOREIGN_NAMES:
        ours = FOREIGN_NAMES[key]
        field, _, value = ours.partition(": ")
        return f"; here it is called '{ours if path == ('params',) else ': '.join(filter(None, (home_of(field), value)))}'"
    guess = nearest(key, _keys(path))
    if guess and guess == key.lower().replace("-", "_"):
        return f"; did you mean '{guess}'?"
    if key in _FIELDS:
        return f"; it belongs elsewhere: {home_of(key)}"
    for other in _LEVELS:
        if key in _SPECIAL.get(other, ()) or (key in _LEVELS[other] and other != ("data", "column_mapping")):
            return f"; it belongs {'under ' + '.'.join(other) if other else 'at the top level'}"
    if guess:
        return f"; did you mean '{guess}'?"
    guess = nearest(key, _FIELDS)
    return f"; did you mean {home_of(guess)}?" if guess else ""


def home_of(field: str) -> str:
    """Where the grammar wants a field to be written."""
    for path, fields in _LEVELS.items():
        for key, name in fields.items():
            if name == field:
                return ".".join((*path, key))
    return field


def documented_keys() -> Iterable[str]:
    """Every key of the grammar, in full."""
    return [".".join((*path, key)) for path in _LEVELS for key in _keys(path)]
