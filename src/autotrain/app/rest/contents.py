"""/api/runs/N/...: metrics, log, sample answers, rows left out, parameters of a run."""

import asyncio
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from autotrain import log
from autotrain.app.rest.runs import Number
from autotrain.app.state import AppState
from autotrain.run_folder import open_own

MAX_POINTS = 20_000
MAX_ROWS = 1_000


class Metrics(BaseModel):
    """position: where `since` goes on.  names: all metrics there are.  series: name -> [[step, value], ...].

    Lowest and highest values stay where points are left out.
    """

    position: int
    names: list[str]
    series: dict[str, list[list[float]]]


class NewRows(BaseModel):
    """Rows after a position.  is_anew: the run was resumed or replaced; read the metrics anew."""

    position: int
    rows: list[dict[str, Any]]
    is_anew: bool


class LogPart(BaseModel):
    """first: number of the first line here, counted from 0.  size: how many lines there are."""

    first: int
    size: int
    lines: list[str]


class LogMatch(BaseModel):
    """line: number of the nearest line with the text, null if there's none.  matches: how many lines have it."""

    line: int | None
    matches: int


class Rows(BaseModel):
    """total: how many there are."""

    total: int
    rows: list[dict[str, Any]]


def routes(state: AppState) -> APIRouter:
    router = APIRouter(prefix="/runs/{number}", tags=["contents of a run"])
    _add_metrics(router, state)
    _add_log(router, state)
    _add_rows(router, state)
    _add_parameters(router, state)
    return router


def _add_metrics(router: APIRouter, state: AppState) -> None:
    @router.get("/metrics")
    def read_metrics(
        number: Number,
        names: Annotated[str, Query(description="Metrics, with commas between; none for all.")] = "",
        first: Annotated[float | None, Query(description="From this step on.")] = None,
        last: Annotated[float | None, Query(description="Up to this step.")] = None,
        points: Annotated[int, Query(ge=2, le=MAX_POINTS, description="At most about so many a metric.")] = 1000,
    ) -> Metrics:
        """The course of the metrics, in as few points as a picture needs."""
        feed = state.feeds.run(number)
        there = feed.metric_names()
        wanted = [one.strip() for one in names.split(",") if one.strip()] or there
        position, series = feed.history_from(wanted, first, last, points)
        return Metrics(position=position, names=there, series=series)

    @router.get("/metrics/since")
    def read_new_metrics(number: Number, position: Annotated[int, Query(ge=0)] = 0) -> NewRows:
        """Rows of the metrics after `position`: some hundred at once; ask again until there are none."""
        return NewRows(**state.feeds.run(number).since(position)._asdict())


def _add_log(router: APIRouter, state: AppState) -> None:
    @router.get("/log")
    def read_log(
        number: Number,
        first: Annotated[int | None, Query(description="From this line on, counted from 0; none for the end.")] = None,
        count: Annotated[int, Query(ge=0, le=2000)] = 200,
    ) -> LogPart:
        """Lines of the log."""
        feed = state.feeds.run(number)
        size = feed.log_size()
        start = max(0, size - count) if first is None else max(0, first)
        return LogPart(first=start, size=size, lines=feed.log_lines(start, count))

    @router.get("/log/find")
    def find_in_log(
        number: Number,
        text: Annotated[str, Query(min_length=1, max_length=200)],
        start: Annotated[int, Query(alias="from", ge=0)] = 0,
        backwards: bool = False,
    ) -> LogMatch:
        """The nearest line with a text, of whatever case."""
        return LogMatch(**state.feeds.run(number).log_find(text, start, backwards)._asdict())

    @router.get("/log/file", response_class=StreamingResponse)
    def read_log_file(number: Number) -> StreamingResponse:
        """The whole log."""
        feed = state.feeds.run(number)
        file = feed.log_path()
        if file is None:
            raise HTTPException(404, "there's no log (yet)")
        name = quote(f"{feed.view().name}.log")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return StreamingResponse(_masked(file), media_type="text/plain; charset=utf-8", headers=headers)


def _masked(file: FilePath) -> Iterator[str]:
    """The lines of a log, without secrets that a worker may have printed."""
    with open_own(file) as lines:
        for line in lines:
            yield log.mask(line.decode("utf-8", errors="replace"))


def _add_rows(router: APIRouter, state: AppState) -> None:
    @router.get("/samples")
    def read_samples(number: Number, limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100) -> list[dict[str, Any]]:
        """The latest sample answers, by step."""
        return state.feeds.run(number).samples(limit)

    @router.get("/left-out")
    def read_left_out(
        number: Number,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100,
    ) -> Rows:
        """Rows of the data that were left out or cut, and why."""
        return Rows(**state.feeds.run(number).left_out(offset, limit)._asdict())

    @router.get("/facts")
    def read_facts(number: Number) -> dict[str, Any]:
        """What the run wrote down about itself (run.json): sizes, memory, versions, times."""
        return state.feeds.run(number).facts()


def _add_parameters(router: APIRouter, state: AppState) -> None:
    @router.get("/params")
    def read_params(number: Number) -> dict[str, Any]:
        """What the run was started with, defaults included; never a token."""
        return state.feeds.run(number).params().model_dump(mode="json", exclude={"token"})

    @router.get("/config", response_class=PlainTextResponse)
    async def read_config(number: Number) -> PlainTextResponse:
        """The run as a config file."""
        text = await asyncio.to_thread(state.feeds.run(number).config_yaml)
        return PlainTextResponse(log.mask(text), media_type="application/yaml")

    @router.get("/command", response_class=PlainTextResponse)
    async def read_command(number: Number) -> PlainTextResponse:
        """The run as a command."""
        return PlainTextResponse(log.mask(await asyncio.to_thread(state.feeds.run(number).command)) + "\n")
