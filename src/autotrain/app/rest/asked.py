"""A run as an API client asks for it: a config, its YAML, or plain parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from autotrain import log
from autotrain.config.base import complaints
from autotrain.config.document import Document, parse_document
from autotrain.config.load import Config, Fault, read_config
from autotrain.config.names import backend_fault
from autotrain.config.notices import ineffective
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams

_EXAMPLE = {
    "task": "llm-sft",
    "base_model": "smollm2-135m",
    "project_name": "my-run",
    "data": {"path": "datasets/my-data", "column_mapping": {"text_column": "messages"}},
    "params": {"peft": True, "epochs": 1},
}


class Asked(BaseModel):
    """One of `config` and `params`; see docs/config.md and GET /api/config/schema."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    config: Annotated[
        dict[str, Any] | str | None, Field(description="A config, as an object or as YAML.", examples=[_EXAMPLE])
    ] = None
    params: Annotated[dict[str, Any] | None, Field(description="Parameters by name, instead of a config.")] = None
    backend: Annotated[
        str | None, Field(description="Where to run: local, or spaces-... or jobs-...; wins over the config's.")
    ] = None


@dataclass(frozen=True)
class Answer:
    """config: None if there are faults.  notes: what one should know, a sentence each."""

    config: Config | None
    faults: tuple[Fault, ...]
    notes: tuple[str, ...] = ()


def check(asked: Asked) -> Answer:
    """Read what was asked for, as far as its text alone decides.  The server's environment isn't put into it."""
    try:
        answer = _check(asked)
    except ConfigError as problem:  # no YAML, or no mapping
        return Answer(None, (Fault("", str(problem)),))
    if answer.config is None:
        return answer
    backend = asked.backend or answer.config.backend
    fault = backend_fault(backend)
    if fault:
        return Answer(None, (Fault("backend", fault),))
    config = Config(answer.config.params, backend, answer.config.source, answer.config.notes)
    return Answer(config, (), (*config.notes, *ineffective(config.params)))


def must_be_sound(asked: Asked) -> Config:
    """The config that was asked for.  Raises ConfigError with all its faults."""
    answer = check(asked)
    if answer.config is None:
        raise ConfigError("\n".join(": ".join(filter(None, (fault.key, fault.text))) for fault in answer.faults))
    return answer.config


def token_in(params: LLMTrainingParams) -> SecretStr | None:
    """The hub's token that came along, masked in logs from now on."""
    if params.token:
        log.hide_secret(params.token.get_secret_value())
    return params.token


def read_params(values: Mapping[str, Any]) -> tuple[LLMTrainingParams | None, tuple[Fault, ...]]:
    """Parameters by name, or what is wrong with them."""
    try:
        return LLMTrainingParams(**values), ()
    except ValidationError as error:
        return None, tuple(Fault(field, sentence) for field, sentence in complaints(error))


def _check(asked: Asked) -> Answer:
    if (asked.config is None) == (asked.params is None):
        raise ConfigError("give either config or params")
    if asked.params is not None:
        params, faults = read_params(asked.params)
        return Answer(Config(params, asked.backend or "local", "params") if params else None, faults)
    said = asked.config
    document = parse_document(said, "config") if isinstance(said, str) else Document("config", said or {})
    config, faults = read_config(document, dry_run=True, environment={})
    return Answer(config, faults)
