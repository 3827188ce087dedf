"""/api/config: check a config, write it as YAML or a command; the parameters' JSON Schema."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from autotrain import log
from autotrain.app.inside import check_inside
from autotrain.app.rest.asked import Asked, check
from autotrain.app.state import AppState
from autotrain.config.names import unavailable_backend, unavailable_trainer
from autotrain.config.surface import json_schema
from autotrain.config.written import command_text, config_text
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams


class Problem(BaseModel):
    """key: which one, in full (`data.path`), "" for the whole.  line: of YAML, where it stands."""

    key: str
    text: str
    line: int | None


class Checked(BaseModel):
    """What a config comes to: if it is valid, all parameters, and the same as YAML and as a command."""

    valid: bool
    problems: list[Problem] = []
    notes: list[str] = []
    backend: str = ""
    params: dict[str, Any] = {}
    yaml: str = ""
    command: str = ""


def routes(state: AppState) -> APIRouter:
    router = APIRouter(prefix="/config", tags=["config"])

    @router.post("/validate")
    def validate(asked: Asked) -> Checked:
        """Whether a config is sound, as far as its text and names decide; data and weights are looked at when it is run."""
        answer = check(asked)
        problems = [Problem(key=one.key, text=log.mask(one.text), line=one.line) for one in answer.faults]
        if answer.config is None:
            return Checked(valid=False, problems=problems)
        params, backend = answer.config.params, answer.config.backend
        for key, fault in (
            ("task", unavailable_trainer(params.trainer)),
            ("backend", unavailable_backend(backend)),
            ("", _outside(params, state)),
        ):
            if fault:
                problems.append(Problem(key=key, text=fault, line=None))
        return Checked(
            valid=not problems,
            problems=problems,
            notes=list(answer.notes),
            backend=backend,
            params=params.model_dump(mode="json", exclude={"token"}),
            yaml=config_text(params, backend),
            command=command_text(params, backend),
        )

    @router.get("/schema")
    def schema() -> dict[str, Any]:
        """The JSON Schema of the parameters."""
        return json_schema()

    return router


def _outside(params: LLMTrainingParams, state: AppState) -> str:
    """Why the paths in these parameters can't be used here, "" if they can."""
    try:
        check_inside(params, state.workspace, state.settings.custom_models)
    except ConfigError as problem:
        return str(problem)
    return ""
