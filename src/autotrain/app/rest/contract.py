"""AutoTrain's own API: create_project, stop_training, logs and version, as its callers know them, minus their faults."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from autotrain import __version__, log
from autotrain.app.launching import is_local
from autotrain.app.rest.asked import Asked, must_be_sound
from autotrain.app.rest.problems import status_of
from autotrain.app.state import AppState
from autotrain.cloud.live import lines_of
from autotrain.errors import AutoTrainError, ConfigError, RunFolderError, UserError
from autotrain.runs import Entry
from autotrain.runs.logs import log_file, read_lines
from autotrain.runs.registry import entries, get
from autotrain.runs.waiting import FAILED

# What each task must be told the columns of.
REQUIRED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "sft": ("text_column",),
    "generic": ("text_column",),
    "default": ("text_column",),
    "reward": ("text_column", "rejected_text_column"),
    "dpo": ("text_column", "rejected_text_column"),
    "orpo": ("text_column", "rejected_text_column"),
}
# As AutoTrain's own client writes it.
_COLUMN_NAMES = {"prompt_column": "prompt_text_column"}
_CLOUD_SECONDS = 60.0
_NUM_LINES = 5_000


class NoSuchJob(RunFolderError):
    """An id that no job has, or none any more."""

    def __init__(self, jid: str) -> None:
        super().__init__(f"there's no job {jid}; create_project answers with the id of a job")


class CreateProject(BaseModel):
    """A run, in AutoTrain's words."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    project_name: str
    task: Annotated[str, Field(description="llm:sft, llm:dpo, llm:orpo, llm:reward, llm:generic, ...")]
    base_model: str
    hardware: Annotated[str, Field(description="local, or a backend such as spaces-a10g-large")] = "local"
    params: Annotated[dict[str, Any], Field(description="Any parameters; they are used as they are given.")] = {}
    username: str | None = None
    column_mapping: dict[str, str] = {}
    hub_dataset: Annotated[str, Field(description="A data set of the hub, or a folder or file of the workspace.")]
    train_split: str = "train"
    valid_split: str | None = None


class JobID(BaseModel):
    """A job, as create_project answered, or the number of a run."""

    jid: str | int


class Created(BaseModel):
    """job_id: what stop_training and logs take."""

    message: str
    job_id: str
    success: bool


class Done(BaseModel):
    """Whether it was done."""

    message: str
    success: bool


class Logs(Done):
    """The log."""

    logs: str


def routes(state: AppState) -> APIRouter:
    router = APIRouter(tags=["AutoTrain's API"])
    _add_create(router, state)
    _add_stop(router, state)
    _add_logs(router, state)

    @router.get("/version")
    def version() -> dict[str, str]:
        """This version."""
        return {"version": __version__}

    return router


def _add_create(router: APIRouter, state: AppState) -> None:
    @router.post("/create_project", response_model=Created)
    def create_project(
        asked: CreateProject,
        authorization: Annotated[str, Header(include_in_schema=False)] = "",
        x_hub_token: Annotated[str, Header(description="The hub's token, where Authorization holds the page's.")] = "",
    ) -> Created | JSONResponse:
        """Start a run.  The hub's token (Authorization: Bearer hf_...) is for this run alone."""
        try:
            config = must_be_sound(Asked(config=config_of(asked)))
            token = _hub_token(authorization, x_hub_token) or config.params.token
            number = state.queue.submit(config.params, config.backend, token=token)
            job_id = _job_id(number, config.backend)
        except AutoTrainError as problem:
            return _refused(problem)
        return Created(message="Project created", job_id=job_id, success=True)


def _add_stop(router: APIRouter, state: AppState) -> None:
    async def stop(jid: str) -> Done | JSONResponse:
        try:
            entry = find_job(jid)
            await state.queue.stop(entry.id)
        except AutoTrainError as problem:
            return _refused(problem)
        return Done(message=f"Training of {entry.name} is stopped; it saves first", success=True)

    @router.post("/stop_training", response_model=Done)
    async def stop_training(job: JobID) -> Done | JSONResponse:
        """Let a run save and leave; a Space is paused."""
        return await stop(str(job.jid))

    @router.post("/stop_training/{jid:path}", response_model=Done, include_in_schema=False)
    async def stop_training_by_path(jid: str) -> Done | JSONResponse:
        """As AutoTrain's own client asks, though its server didn't listen there."""
        return await stop(jid)


def _add_logs(router: APIRouter, state: AppState) -> None:
    @router.post("/logs", response_model=Logs)
    def logs(
        job: JobID,
        authorization: Annotated[str, Header(include_in_schema=False)] = "",
        x_hub_token: Annotated[str, Header(description="The hub's token, where Authorization holds the page's.")] = "",
    ) -> Logs | JSONResponse:
        """The log of a run, its end if it is long."""
        try:
            entry = find_job(str(job.jid))
            token = _hub_token(authorization, x_hub_token) or state.queue.token_for(entry.id)
            text = "\n".join(_lines(entry, token))
        except AutoTrainError as problem:
            return _refused(problem)
        return Logs(logs=text, message="Logs fetched successfully", success=True)


def config_of(asked: CreateProject) -> dict[str, Any]:
    """The config that is meant.  Raises ConfigError for a column that the task needs and that isn't named."""
    mapping = {_COLUMN_NAMES.get(name, name): column for name, column in asked.column_mapping.items()}
    missing = [name for name in REQUIRED_COLUMNS.get(asked.task.partition(":")[2], ()) if name not in mapping]
    if missing:
        raise ConfigError(f"column_mapping: {', '.join(missing)} is missing; {asked.task} needs it")
    return {
        "task": asked.task,
        "base_model": asked.base_model,
        "project_name": asked.project_name,
        "backend": asked.hardware,
        "data": {
            "path": asked.hub_dataset,
            "train_split": asked.train_split,
            "valid_split": asked.valid_split,
            "column_mapping": mapping,
        },
        "params": asked.params,
        "hub": {"username": asked.username},
    }


def find_job(jid: str) -> Entry:
    """By number, or by the service's id, the latest first.  Raises NoSuchJob."""
    for entry in entries():
        if jid == str(entry.id) or (entry.cloud and jid == entry.cloud.job_id):
            return entry
    raise NoSuchJob(jid)


def _job_id(number: int, backend: str) -> str:
    """The service's id, once the cloud has the run, so that what it refuses is said now; of a local run its number."""
    end = time.monotonic() + _CLOUD_SECONDS
    while not is_local(backend) and time.monotonic() < end:
        entry = get(number)
        if entry.cloud:
            return entry.cloud.job_id
        if entry.queued and entry.queued.stage == FAILED:
            raise UserError(entry.queued.reason)
        time.sleep(0.2)
    return str(number)


def _hub_token(authorization: str, x_hub_token: str) -> SecretStr | None:
    """The hub's token that came along: not what opens the page."""
    bearer = authorization.partition(" ")[2].strip()
    found = x_hub_token.strip() or (bearer if bearer.startswith("hf_") else "")
    log.hide_secret(found)
    return SecretStr(found) if found else None


def _lines(entry: Entry, token: SecretStr | None) -> list[str]:
    """The last lines of a log.  Raises HubError."""
    if entry.cloud:
        return list(lines_of(entry, _NUM_LINES, token))
    file = log_file(entry)
    return [log.mask(line) for line in read_lines(file, _NUM_LINES)] if file else []


def _refused(problem: AutoTrainError) -> JSONResponse:
    text = log.mask(str(problem))
    status = 404 if isinstance(problem, NoSuchJob) else status_of(problem)
    return JSONResponse({"detail": text, "message": text, "success": False}, status)
