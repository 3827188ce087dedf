"""Answers that a reward model scores, kept on the server as a conversation is."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autotrain.app.talks.problem import TalkProblem
from autotrain.app.talks.subject import Subject

if TYPE_CHECKING:
    from autotrain.app.talks.talks import Talks


@dataclass
class Scoring:
    """A question and its answers.  scores: of the answers as they were scored last; None of one that couldn't be.

    Watchers are called when anything changed, in the event loop.
    """

    talks: "Talks"
    subject: Subject
    prompt: str = ""
    answers: list[str] = field(default_factory=lambda: ["", ""])
    scores: list[float | None] = field(default_factory=list[float | None])
    is_busy: bool = False
    problem: TalkProblem | None = None
    _task: "asyncio.Task[None] | None" = None
    _watchers: set[Callable[[], None]] = field(default_factory=set[Callable[[], None]])

    @property
    def best(self) -> int | None:
        """Which answer has the highest score; None if there is no such one."""
        known = [(score, -at) for at, score in enumerate(self.scores) if score is not None]
        return -max(known)[1] if len(known) > 1 else None

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Returns what ends the watching."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def score(self) -> None:
        """Score the answers that aren't empty."""
        if not self.is_busy and any(answer.strip() for answer in self.answers):
            self.is_busy, self.problem, self.scores = True, None, []
            self._task = asyncio.get_running_loop().create_task(self._score(list(self.answers)))
            self.changed()

    def changed(self) -> None:
        for callback in list(self._watchers):
            callback()

    async def _score(self, answers: Sequence[str]) -> None:
        asked = [at for at, answer in enumerate(answers) if answer.strip()]
        rows: list[dict[str, Any]] = [{"prompt": self.prompt, "answer": answers[at]} for at in asked]
        try:
            lines = await self.talks.open(self.subject).score(rows)
            found = {at: line.get("score") for at, line in zip(asked, lines, strict=True)}
            self.scores = [found.get(at) for at in range(len(answers))]
            reason = next((line["problem"] for line in lines if "problem" in line), None)
            self.problem = TalkProblem("failed", reason=reason) if reason else None
        except TalkProblem as problem:
            self.problem = problem
        self.is_busy = False
        self.changed()
