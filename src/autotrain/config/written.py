"""Parameters written down again: as a config file, and as a command."""

import shlex
from typing import Any

import yaml

from autotrain.config.load import home_of
from autotrain.config.surface import knobs, written
from autotrain.trainers.clm.params import LLMTrainingParams

# The order of a config that a person wrote.
_FIRST = ("base_model", "project_name", "log", "backend")
_LEVELS = ("data", "params", "hub")


def config_text(params: LLMTrainingParams, backend: str) -> str:
    """A config that gives these parameters: what was set, and none of the defaults.  The token isn't in it."""
    tree: dict[str, Any] = {"task": f"llm-{params.trainer}"}
    for field, value in _set_by_user(params).items():
        *levels, key = home_of(field).split(".")
        place = tree
        for level in levels:
            place = place.setdefault(level, {})
        place[key] = "none" if value is None else value
    tree["base_model"], tree["project_name"] = params.model, params.project_name
    tree["backend"] = "local" if backend.startswith("local") else backend
    tree.setdefault("data", {}).setdefault("path", params.data_path)
    ordered = {key: tree[key] for key in ("task", *_FIRST, *_LEVELS) if key in tree}
    return yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, width=10**6)


def command_text(params: LLMTrainingParams, backend: str) -> str:
    """The command that starts a run with these parameters, for a shell.  The token isn't in it."""
    names = {knob.name: knob for knob in knobs()}
    words = ["autotrain", "llm", "--train"]
    needed = {"trainer": params.trainer, "model": params.model, "project_name": params.project_name}
    for field, value in {**needed, "data_path": params.data_path, **_set_by_user(params)}.items():
        knob = names[field]
        if knob.kind == "switch":
            words.append(knob.options[0] if value else knob.off_options[0])
        else:
            words += [knob.options[0], ",".join(map(str, value)) if isinstance(value, list) else written(value)]
    if not backend.startswith("local"):
        words += ["--backend", backend]
    return shlex.join(words)


def _set_by_user(params: LLMTrainingParams) -> dict[str, Any]:
    """Without the trainer, which the task says, and the token."""
    values = params.model_dump(mode="json", exclude={"token", "trainer"})
    return {name: values[name] for name in LLMTrainingParams.model_fields if name in values and params.is_explicit(name)}
