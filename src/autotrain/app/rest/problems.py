"""What the API answers when something can't be done: a status, and one sentence for whoever asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from autotrain import log
from autotrain.errors import AutoTrainError, HubError, RunFolderError, UserError
from autotrain.runs.registry import NoSuchRun

# The first that fits.  Of a user's mistake otherwise: the request is well-formed, what it asks for can't be had.
_STATUS = ((NoSuchRun, 404), (RunFolderError, 409), (HubError, 502), (UserError, 422))


class Refusal(BaseModel):
    """detail: what is wrong, and what to do."""

    detail: str


# As the description of the API has them.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": Refusal, "description": "There is no such run."},
    409: {"model": Refusal, "description": "Another run, or this one as it stands, is in the way."},
    422: {"model": Refusal, "description": "The request, or what it asks for, can't be had."},
    502: {"model": Refusal, "description": "The hub said no, or nothing."},
}


def add_problem_answers(api: FastAPI) -> None:
    """Let `api` answer with {"detail": SENTENCE}."""
    api.add_exception_handler(AutoTrainError, _answer_problem)
    api.add_exception_handler(RequestValidationError, _answer_invalid)


def status_of(problem: AutoTrainError) -> int:
    """The HTTP status for `problem`."""
    return next((status for kind, status in _STATUS if isinstance(problem, kind)), 500)


def _answer_problem(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, AutoTrainError)
    return JSONResponse({"detail": log.mask(str(problem))}, status_of(problem))


def _answer_invalid(request: Request, problem: Exception) -> JSONResponse:
    """Without what was sent: it may be a secret."""
    assert isinstance(problem, RequestValidationError)
    return JSONResponse({"detail": "\n".join(map(_sentence, problem.errors()))}, 422)


def _sentence(fault: Mapping[str, Any]) -> str:
    place: Sequence[Any] = fault["loc"]
    where = ".".join(str(part) for part in place if part != "body")
    message = str(fault["msg"])
    what = {"missing": "is missing", "extra_forbidden": "unknown key"}.get(fault["type"], message[:1].lower() + message[1:])
    return f"{where}: {what}" if where else what
