"""Which models are in memory: loaded when they are asked, as many as fit, put away when they weren't asked for a while."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from autotrain.app.talks.kept import Kept
from autotrain.app.talks.memory import base_bytes, free_bytes, needed_bytes
from autotrain.app.talks.problem import TalkProblem
from autotrain.app.talks.process import ModelProcess
from autotrain.app.talks.subject import Subject
from autotrain.app.tokens import Tokens

IDLE_SECONDS = 600.0
_LOOK_SECONDS = 15.0
# Requests at once to one model: each makes all others slower.
_MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Question:
    """messages: of the conversation, the question last.  temperature 0 takes the likeliest token."""

    messages: Sequence[Mapping[str, str]]
    system: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 512
    seed: int = 42


@dataclass(frozen=True)
class Piece:
    """text: what is new of the answer; with `reason` all of it.

    reason: end, length or stopped with the last piece, else "".  num_forgotten: messages that were left out to fit.
    """

    text: str
    reason: str = ""
    num_tokens: int = 0
    num_forgotten: int = 0
    seconds: float = 0.0


class Talks:
    """All models that are talked with.  kept: what the pages show of it."""

    def __init__(self, tokens: Tokens, idle_seconds: float = IDLE_SECONDS) -> None:
        self.kept = Kept(self)
        self._tokens = tokens
        self._idle_seconds = idle_seconds
        self._models: dict[str, tuple[Subject, tuple[int, ...], ModelProcess]] = {}
        self._task: asyncio.Task[None] | None = None

    def open(self, subject: Subject) -> "Talk":
        """To ask `subject`.  Loads nothing yet."""
        return Talk(self, subject)

    def loaded(self) -> list[Subject]:
        """Models in memory, or on their way there."""
        return [subject for subject, _, process in self._models.values() if process.is_alive]

    def put_away(self, name: str) -> None:
        """Give the memory of a model back, in the midst of an answer too."""
        if name in self._models:
            self._models.pop(name)[2].close()

    def close(self) -> None:
        """End all processes."""
        if self._task is not None:
            self._task.cancel()
        for name in list(self._models):
            self.put_away(name)

    def process(self, subject: Subject, *, with_base: bool) -> ModelProcess:
        """The process that holds `subject`, started if need be.  Raises TalkProblem if there's no memory for it."""
        found = self._models.get(subject.name)
        stamp = subject.stamp
        if found is not None and (not found[2].is_alive or found[1] != stamp):
            self.put_away(subject.name)
            found = None
        if found is None:
            self.make_room(needed_bytes(subject, with_base=with_base), subject)
            found = (subject, stamp, ModelProcess(subject.name, self._tokens.current()))
            self._models[subject.name] = found
            self._watch()
        elif with_base and not found[2].has_base:
            self.make_room(base_bytes(subject), subject)
        found[2].has_base |= with_base
        if found[2].num_asked >= _MOST_AT_ONCE:
            raise TalkProblem("busy", name=subject.label)
        found[2].last_used = monotonic()
        return found[2]

    def make_room(self, needed: int, subject: Subject) -> None:
        """Put away who wasn't asked for longest, until there is room.  What they held counts as free."""
        free = free_bytes()
        if free is None:
            return
        others = ((name, process) for name, (_, _, process) in self._models.items() if name != subject.name)
        for _, name in sorted((process.last_used, name) for name, process in others if not process.is_busy):
            if free >= needed:
                return
            free += needed_bytes(self._models[name][0], with_base=False)
            self.put_away(name)
        if free < needed:
            raise TalkProblem("memory", name=subject.label, needed=_gigabytes(needed), free=_gigabytes(free))

    def _watch(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._put_idle_away())

    async def _put_idle_away(self) -> None:
        while self._models:
            await asyncio.sleep(min(_LOOK_SECONDS, self._idle_seconds / 4))
            now = monotonic()
            for name, (_, _, process) in list(self._models.items()):
                if not process.is_alive or (not process.is_busy and now - process.last_used > self._idle_seconds):
                    self.put_away(name)


class Talk:
    """One person's talk with one model."""

    def __init__(self, talks: Talks, subject: Subject) -> None:
        self.subject = subject
        self._talks = talks

    async def ready(self) -> Mapping[str, Any]:
        """Load the model; returns what it is: kind (chat, text, scores), max_tokens, device.  Raises TalkProblem."""
        return await self._talks.process(self.subject, with_base=False).ready()

    def check(self, *, of_base: bool) -> None:
        """Raises TalkProblem if it can't answer."""
        if self.subject.gives_scores:
            raise TalkProblem("scores", name=self.subject.label)
        if of_base and self.subject.base is None:
            kind = "base_gone" if self.subject.missing_base else "no_base"
            raise TalkProblem(kind, name=self.subject.label, base=self.subject.missing_base)

    async def answer(self, question: Question, *, of_base: bool = False) -> AsyncGenerator[Piece]:
        """The answer as it comes; whoever leaves early stops it.  of_base: of the model before training.

        Raises TalkProblem.
        """
        self.check(of_base=of_base)
        process = self._talks.process(self.subject, with_base=of_base)
        fields = {**vars(question), "messages": [dict(turn) for turn in question.messages], "of_base": of_base}
        events = process.ask("answer", **fields)
        try:
            async for event in events:
                yield _piece(event)
        finally:
            await events.aclose()

    async def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Each row with its `score`, or `chosen_score` and `rejected_score`, or the `problem`.  Raises TalkProblem."""
        if not self.subject.gives_scores:
            raise TalkProblem("writes", name=self.subject.label)
        process = self._talks.process(self.subject, with_base=False)
        lines: list[dict[str, Any]] = []
        async for event in process.ask("score", rows=[dict(row) for row in rows]):
            lines = event["lines"]
        return lines


def _piece(event: Mapping[str, Any]) -> Piece:
    if event["event"] == "piece":
        return Piece(event["text"])
    return Piece(event["text"], event["reason"], event["num_tokens"], event["num_forgotten"], event["seconds"])


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.1f}"
