"""Talking with models over the API: answers streamed as server-sent events, scores of answers."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from autotrain.app.state import AppState
from autotrain.app.talks import Question, Subject, Talk, TalkProblem, embedded_subject, subject_of
from autotrain.errors import ConfigError

_MOST_ROWS = 1000


class Message(BaseModel):
    """A turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class Asked(BaseModel):
    """Which model is asked: the result of a run, or one that comes along."""

    model_config = ConfigDict(extra="forbid")

    run: Annotated[int | None, Field(description="number of a run that has ended")] = None
    model: Annotated[str | None, Field(description="an embedded model, as smollm2-135m, instead of a run")] = None


class AnswerRequest(Asked):
    """As `autotrain generate` asks: the same question, settings and seed give the same answer."""

    messages: Annotated[list[Message], Field(min_length=1, description="the conversation, the question last")]
    system: str = ""
    of_base: Annotated[bool, Field(description="ask the model before training")] = False
    temperature: Annotated[float, Field(ge=0, le=10, description="0 takes the likeliest token")] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_new_tokens: Annotated[int, Field(ge=1, le=100_000)] = 512
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42


class ScoreRequest(Asked):
    """Rows with prompt and answer, messages, or prompt, chosen and rejected."""

    rows: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=_MOST_ROWS)]


class Scores(BaseModel):
    """Each row with its `score`, or `chosen_score` and `rejected_score`, or the `problem`."""

    rows: list[dict[str, Any]]


class Loaded(BaseModel):
    """A model in memory.  run: its number, 0 of an embedded model."""

    name: str
    run: int


def routes(state: AppState) -> APIRouter:
    router = APIRouter(prefix="/talks", tags=["talks"])

    @router.get("")
    def models_in_memory() -> list[Loaded]:  # pyright: ignore[reportUnusedFunction]
        return [Loaded(name=subject.label, run=subject.run) for subject in state.talks.loaded()]

    @router.post("/answer", response_class=StreamingResponse)
    async def answer(asked: AnswerRequest) -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        """Events `piece` {text}, then `end` {text, reason, num_tokens, ...} or `error` {message}.

        Closing the connection stops the answer.
        """
        talk = state.talks.open(_subject(state, asked))
        talk.check(of_base=asked.of_base)
        return StreamingResponse(_events(talk, asked), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @router.post("/score")
    async def score(asked: ScoreRequest) -> Scores:  # pyright: ignore[reportUnusedFunction]
        return Scores(rows=await state.talks.open(_subject(state, asked)).score(asked.rows))

    return router


async def _events(talk: Talk, asked: AnswerRequest) -> AsyncGenerator[str]:
    fields = asked.model_dump(exclude={"run", "model", "of_base"})
    pieces = talk.answer(Question(**fields), of_base=asked.of_base)
    try:
        async for piece in pieces:
            yield _event("end", vars(piece)) if piece.reason else _event("piece", {"text": piece.text})
    except TalkProblem as problem:
        yield _event("error", {"message": str(problem)})
    finally:
        await pieces.aclose()


def _event(name: str, fields: Mapping[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(fields, ensure_ascii=False)}\n\n"


def _subject(state: AppState, asked: Asked) -> Subject:
    """Raises TalkProblem, NoSuchRun, ConfigError."""
    if asked.run is not None and asked.model is None:
        return subject_of(state.feeds.run(asked.run).view())
    if asked.model is not None and asked.run is None:
        return embedded_subject(asked.model)
    raise ConfigError("give either run, the number of a run, or model, the name of an embedded model")
