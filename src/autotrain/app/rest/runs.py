"""/api/runs: start, list, read, stop, resume, note and delete runs."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from autotrain.app.feeds import RunView
from autotrain.app.inside import paths_of
from autotrain.app.rest.asked import Asked, must_be_sound, token_in
from autotrain.app.state import AppState
from autotrain.errors import ConfigError

MAX_LIMIT = 1000
# Of a run; what SQLite can hold.
Number = Annotated[int, Path(ge=0, lt=2**63)]


class RunsAnswer(BaseModel):
    """total: how many there are that fit, on all pages."""

    total: int
    runs: list[RunView]


class Start(Asked):
    """What to train, and whether a run of the same name is replaced."""

    overwrite: Annotated[bool, Field(description="Replace the run of this project_name.")] = False


class Again(BaseModel):
    """A run like another, with changes."""

    model_config = ConfigDict(extra="forbid")

    params: Annotated[dict[str, Any], Field(description="Parameters that differ; without project_name a free one.")] = {}
    backend: Annotated[str | None, Field(description="Where to run, if elsewhere.")] = None


class Change(BaseModel):
    """What can be changed of a run."""

    model_config = ConfigDict(extra="forbid")

    notes: str


def routes(state: AppState) -> APIRouter:
    router = APIRouter(tags=["runs"])
    add_reading(router, state)
    add_starting(router, state)
    add_changing(router, state)
    return router


def add_reading(router: APIRouter, state: AppState) -> None:
    @router.get("/runs")
    def list_runs(
        q: Annotated[str, Query(description="Words that name, base model, method, backend or notes hold.")] = "",
        stage: Annotated[str, Query(description="Stages, with commas between; none for all.")] = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    ) -> RunsAnswer:
        """The runs of this machine and those that it started in the cloud, the latest first."""
        stages = [one.strip() for one in stage.split(",") if one.strip()]
        total, runs = state.feeds.list(q, stages, offset, limit)
        return RunsAnswer(total=total, runs=runs)

    @router.get("/runs/{number}")
    def read_run(number: Number) -> RunView:
        """Where a run stands."""
        return state.feeds.run(number).view()


def add_starting(router: APIRouter, state: AppState) -> None:
    @router.post("/runs", status_code=201)
    def start_run(asked: Start) -> RunView:
        """Start a run, or put it into the queue where the machine is busy."""
        config = must_be_sound(asked)
        number = state.queue.submit(config.params, config.backend, overwrite=asked.overwrite, token=token_in(config.params))
        return _fresh(state, number)

    @router.post("/runs/{number}/again", status_code=201)
    def run_again(number: Number, changed: Again) -> RunView:
        """Start a run like this one, with changes."""
        feed = state.feeds.run(number)
        before = feed.params_to_repeat(state.workspace.root)
        values = before.model_dump(mode="json", exclude={"token"})
        said = {name: value for name, value in values.items() if before.is_explicit(name)} | changed.params
        said.setdefault("trainer", before.trainer)
        if "project_name" not in changed.params:
            said["project_name"] = free_name(state, before.project_name)
        config = must_be_sound(Asked(params=said, backend=changed.backend or feed.view().backend))
        again = state.queue.submit(
            config.params, config.backend, token=token_in(config.params), allowed_paths=paths_of(values)
        )
        return _fresh(state, again)


def add_changing(router: APIRouter, state: AppState) -> None:
    @router.post("/runs/{number}/stop")
    async def stop_run(
        number: Number,
        now: Annotated[bool, Body(embed=True, description="End it at once, without saving.")] = False,
    ) -> RunView:
        """Let a run save and leave, and end its whole process tree; take a waiting one out of the queue.

        `is_stopping` says whether it still saves.  A run that has ended stays as it is.
        """
        await state.queue.stop(number, now=now)
        return await _answer(state, number)

    @router.post("/runs/{number}/resume")
    async def resume_run(number: Number) -> RunView:
        """Go on from the last checkpoint."""
        return await _answer(state, await state.queue.resume(number))

    @router.patch("/runs/{number}")
    async def change_run(number: Number, change: Change) -> RunView:
        """Keep a note on a run."""
        await state.queue.note(number, change.notes)
        return await _answer(state, number)

    @router.delete("/runs/{number}", status_code=204)
    async def delete_run(
        number: Number,
        with_folder: Annotated[
            bool, Query(description="Also delete its folder, or what it left in the cloud but its result.")
        ] = False,
    ) -> Response:
        """Take a run that has ended out of the list."""
        await state.queue.remove(number, with_folder=with_folder)
        return Response(status_code=204)


def free_name(state: AppState, name: str) -> str:
    """`name`, or with the first number behind it that no run has."""
    taken = {view.name for view in state.feeds.all()}
    stem, _, number = name.rpartition("-")
    stem = stem if stem and number.isdigit() else name
    for count in range(2, 10_000):
        free = f"{stem[: 50 - len(str(count)) - 1]}-{count}"
        if free not in taken and not state.workspace.run(free).exists():
            return free
    raise ConfigError(f"project_name: {name} was used too often; give another name")


def _fresh(state: AppState, number: int) -> RunView:
    """Where a run stands after it was changed: not as somebody saw it a moment before."""
    feed = state.feeds.run(number)
    feed.forget_view()
    return feed.view()


async def _answer(state: AppState, number: int) -> RunView:
    return await asyncio.to_thread(_fresh, state, number)
