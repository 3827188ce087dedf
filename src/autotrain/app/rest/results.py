"""What is done with a run's result over the API: download, merge, push, card."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel, Field

from autotrain.app.feeds import RunView
from autotrain.app.results import Errand, Result
from autotrain.app.state import AppState
from autotrain.run_folder import CURVE_FILE

# A picture that somebody put there runs no script, even opened by itself.
_PICTURE = {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-cache"}


class File(BaseModel):
    """A file of a result, as a download holds it."""

    path: str
    size_bytes: int


class PushRequest(BaseModel):
    """Where the result goes."""

    repo: Annotated[str, Field(description="NAME, or OWNER/NAME", max_length=200)]
    public: bool = False


class ErrandState(BaseModel):
    """What is being done with a result, or was done last.

    state: running, done or failed.  result: of a push, the address.  problem: why it failed.
    """

    kind: str
    state: str
    started: float
    ended: float | None
    lines: list[str]
    problem: str
    result: str


def routes(state: AppState) -> APIRouter:
    router = APIRouter(prefix="/runs/{number}", tags=["results"])

    @router.get("/files")
    async def files(number: int) -> list[File]:  # pyright: ignore[reportUnusedFunction]
        result = await _result(state, number)
        return [File(path=file.path, size_bytes=file.size_bytes) for file in result.files]

    @router.get("/download", response_class=StreamingResponse)
    async def download(number: int) -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        """A ZIP file with the model, its card and its record: the files that a push would upload, and no others."""
        result = await run_in_threadpool(lambda: state.results.to_download(_view(state, number)))
        name = quote(f"{result.folder.name}.zip")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}", "Cache-Control": "no-store"}
        return StreamingResponse(result.archive(), media_type="application/zip", headers=headers)

    @router.get("/card", response_class=PlainTextResponse)
    async def card(number: int) -> str:  # pyright: ignore[reportUnusedFunction]
        return (await _result(state, number)).card

    @router.get(f"/{CURVE_FILE}", response_class=Response)
    async def picture(number: int) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The loss as a picture, which the card shows."""
        content = next((file.content for file in (await _result(state, number)).files if file.path == CURVE_FILE), None)
        if content is None:
            raise HTTPException(404, f"no {CURVE_FILE} in this result")
        data = content if isinstance(content, bytes) else content.read_bytes()
        return Response(data, media_type="image/svg+xml", headers=_PICTURE)

    @router.post("/merge", status_code=202)
    async def merge(number: int) -> ErrandState:  # pyright: ignore[reportUnusedFunction]
        """Make adapter and base model one.  It goes on; ask /errand how it stands."""
        return _state_of(state.results.merge(_view(state, number)))

    @router.post("/push", status_code=202)
    async def push(number: int, where: PushRequest) -> ErrandState:  # pyright: ignore[reportUnusedFunction]
        """Bring the result to the hub.  It goes on; ask /errand how it stands."""
        return _state_of(state.results.push(_view(state, number), where.repo, public=where.public))

    @router.get("/errand")
    async def errand(number: int) -> ErrandState:  # pyright: ignore[reportUnusedFunction]
        return _state_of(_errand(state, number))

    @router.delete("/errand", status_code=202)
    async def stop(number: int) -> ErrandState:  # pyright: ignore[reportUnusedFunction]
        """Stop merging or pushing; nothing is left half done."""
        found = _errand(state, number)
        found.stop()
        return _state_of(found)

    return router


async def _result(state: AppState, number: int) -> Result:
    return await run_in_threadpool(lambda: state.results.result(_view(state, number)))


def _view(state: AppState, number: int) -> RunView:
    return state.feeds.run(number).view()


def _errand(state: AppState, number: int) -> Errand:
    found = state.results.errand(number)
    if found is None:
        raise HTTPException(404, f"nothing was done with the result of run {number} since the server was started")
    return found


def _state_of(errand: Errand) -> ErrandState:
    return ErrandState(
        kind=errand.kind,
        state=errand.state,
        started=errand.started,
        ended=errand.ended,
        lines=errand.lines,
        problem=errand.problem,
        result=errand.result,
    )
