"""What --dry-run shows: the config with everything resolved, itself a config, and what would run."""

from typing import Any

import yaml

from autotrain import log
from autotrain.backends.base import Job, find_backend
from autotrain.config.load import Config
from autotrain.config.names import runs_here, unavailable_backend, unavailable_trainer
from autotrain.config.notices import ineffective
from autotrain.trainers.clm.params import LLMTrainingParams

_NOT_SHOWN = "${HF_TOKEN}  # given, and not shown"
# Fields with a place of their own in the grammar; the others stand under params.
_PLACES: dict[str, dict[str, str]] = {
    "data": {
        "path": "data_path",
        "train_split": "train_split",
        "valid_split": "valid_split",
        "chat_template": "chat_template",
    },
    "hub": {
        "username": "username",
        "token": "token",
        "push_to_hub": "push_to_hub",
        "private": "hub_private",
        "revision": "hub_revision",
        "push_checkpoints": "push_checkpoints",
    },
}
_COLUMNS = ("text_column", "prompt_text_column", "rejected_text_column")


def report(job: Job, config: Config) -> str:
    """The resolved parameters as YAML; defaults stand as comments, so that what was set stays distinguishable."""
    params = job.params
    top = [
        _line("task", f"llm-{params.trainer}", set_by_user=True),
        _line("base_model", params.model, params.is_explicit("model")),
        _line("project_name", params.project_name, params.is_explicit("project_name")),
        _line("log", params.log, params.is_explicit("log")),
        _line("backend", config.backend, set_by_user=True),
    ]
    lines = [f"# {config.source}, resolved; what stands behind # is a default", *top]
    lines += ["data:", *_indented(_section(params, "data"))]
    lines += ["  column_mapping:", *(f"    {line}" for line in _lines(params, {name: name for name in _COLUMNS}))]
    lines += ["params:", *_indented(_rest(params)), "hub:", *_indented(_section(params, "hub"))]
    for notice in ineffective(params):
        log.notice(notice)
    return log.mask("\n".join([*lines, "", *_what_would_run(job, config)]) + "\n")


def _what_would_run(job: Job, config: Config) -> list[str]:
    faults = [unavailable_backend(config.backend), unavailable_trainer(job.params.trainer)]
    said = [fault for fault in faults if fault]
    if said:
        return ["# would be refused:", *(f"#   {fault}" for fault in said)]
    text = find_backend(config.backend).plan(job).text
    lines = ["# would run:", *(f"#   {line}" for line in text.splitlines())]
    if not runs_here(config.backend):
        return lines
    return [*lines, f"# and write to: {job.folder}/", *_what_would_be_pushed(job.params)]


def _what_would_be_pushed(params: LLMTrainingParams) -> list[str]:
    """Without asking the hub, so the repository may be there already."""
    if not (params.push_to_hub or params.push_checkpoints):
        return []
    what = " and ".join(
        name for name, is_on in (("the result", params.push_to_hub), ("checkpoints", params.push_checkpoints)) if is_on
    )
    owner = params.username or "<owner of the token>"
    kind = "private" if params.hub_private else "public"
    branch = f", branch {params.hub_revision}" if params.hub_revision else ""
    return [f"# and push {what} to: {owner}/{params.project_name}{branch} ({kind}, if it isn't there yet)"]


def _section(params: LLMTrainingParams, name: str) -> list[str]:
    return _lines(params, _PLACES[name])


def _rest(params: LLMTrainingParams) -> list[str]:
    """All fields without a place of their own, those that the user set first."""
    placed = {"model", "project_name", "log", "trainer", *_COLUMNS}
    placed |= {field for fields in _PLACES.values() for field in fields.values()}
    fields = [name for name in type(params).model_fields if name not in placed]
    ordered = sorted(fields, key=lambda name: not params.is_explicit(name))
    return _lines(params, {name: name for name in ordered})


def _lines(params: LLMTrainingParams, fields: dict[str, str]) -> list[str]:
    return [_line(key, _value(params, field), params.is_explicit(field)) for key, field in fields.items()]


def _value(params: LLMTrainingParams, field: str) -> Any:
    return getattr(params, field)


def _line(key: str, value: Any, set_by_user: bool) -> str:
    text = _NOT_SHOWN if key == "token" and value is not None else _scalar(value)
    if key == "chat_template" and value is None and set_by_user:
        text = "none"  # null would mean "not given"
    return f"{key}: {text}" if set_by_user else f"# {key}: {text}"


def _scalar(value: Any) -> str:
    """A value in YAML, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]
