"""A conversation with a model and its base, kept on the server: a page that is loaded again finds it as it was."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from autotrain.app.talks.problem import TalkProblem
from autotrain.app.talks.subject import Subject

if TYPE_CHECKING:
    from autotrain.app.talks.talks import Question, Talks

# LOADING: the model isn't in memory yet.  READING: it reads the question.
LOADING, READING, WRITING, DONE, FAILED = "loading", "reading", "writing", "done", "failed"
_MOST_TURNS = 200


@dataclass(frozen=True)
class Settings:
    """How answers are made, as in `autotrain generate`.  compares: the model before training is asked, too."""

    system: str = ""
    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 256
    seed: int = 42
    compares: bool = True


@dataclass
class Answer:
    """One model's answer.  reason: end, length or stopped, once it is done.  problem: why it failed."""

    text: str = ""
    state: str = LOADING
    reason: str = ""
    num_tokens: int = 0
    seconds: float = 0.0
    num_forgotten: int = 0
    problem: TalkProblem | None = None


@dataclass
class Turn:
    """A question and who answered it."""

    question: str
    tuned: Answer
    base: Answer | None

    @property
    def is_over(self) -> bool:
        return all(answer.state in (DONE, FAILED) for answer in (self.tuned, self.base) if answer is not None)


@dataclass
class Conversation:
    """draft: what was typed and not sent.  Watchers are called when anything changed, in the event loop.

    facts: what the model said of itself once it was loaded.  problem: why it can't be.
    """

    talks: "Talks"
    subject: Subject
    settings: Settings = field(default_factory=Settings)
    turns: list[Turn] = field(default_factory=list[Turn])
    draft: str = ""
    facts: Mapping[str, Any] | None = None
    problem: TalkProblem | None = None
    _is_loading: bool = False
    _watchers: set[Callable[[], None]] = field(default_factory=set[Callable[[], None]])
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @property
    def is_busy(self) -> bool:
        return bool(self.turns) and not self.turns[-1].is_over

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Returns what ends the watching."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def load(self) -> None:
        """Load the model, so that the first answer comes soon; `facts` or `problem` then say how that went."""
        if not self._is_loading:
            self._begin(self._loaded())

    async def _loaded(self) -> None:
        try:
            await self._load()
        except TalkProblem:
            return  # noted

    async def _load(self) -> None:
        """Raises TalkProblem."""
        self._is_loading = True
        try:
            self.facts = await self.talks.open(self.subject).ready()
            self.problem = None
        except TalkProblem as problem:
            self.facts, self.problem = None, problem
            raise
        finally:
            self._is_loading = False
            self.changed()

    def ask(self, text: str) -> None:
        """Put a question to the model, and to its base if they are compared."""
        if self.is_busy or not text.strip():
            return
        base = Answer() if self.settings.compares and self.subject.base is not None else None
        turn = Turn(text.strip(), Answer(), base)
        self.turns = [*self.turns[1 - _MOST_TURNS :], turn]
        self._begin_answer(turn, turn.tuned)
        if base is not None:
            self._begin_answer(turn, base)
        self.changed()

    def ask_again(self) -> None:
        """Put the last question once more."""
        if self.turns and not self.is_busy:
            self.ask(self.turns.pop().question)

    def stop(self) -> None:
        """End the answers that are being written; what was said stays."""
        for task in self._tasks:
            task.cancel()

    def clear(self) -> None:
        """Begin anew."""
        self.stop()
        self.turns = []
        self.changed()

    def set(self, **changes: Any) -> None:
        """Change fields of the settings."""
        self.settings = replace(self.settings, **changes)

    def changed(self) -> None:
        for callback in list(self._watchers):
            callback()

    def _begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _begin_answer(self, turn: Turn, answer: Answer) -> None:
        of_base = answer is turn.base
        task = self._begin(self._answer(answer, self._question(turn, of_base=of_base), of_base=of_base))
        # Not in the task itself: one that is stopped before its first step never runs.
        task.add_done_callback(lambda _: self._end(answer))

    def _end(self, answer: Answer) -> None:
        """Nobody writes it any more."""
        if answer.state not in (DONE, FAILED):
            answer.state, answer.reason, answer.text = DONE, "stopped", answer.text.strip()
            self.changed()

    def _question(self, turn: Turn, *, of_base: bool) -> "Question":
        """Each model sees its own earlier answers; one that failed is left out with its question."""
        from autotrain.app.talks.talks import Question

        messages: list[dict[str, str]] = []
        for earlier in self.turns:
            answer = earlier.base if of_base else earlier.tuned
            if earlier is not turn and answer is not None and answer.state == DONE and answer.text:
                messages += [
                    {"role": "user", "content": earlier.question},
                    {"role": "assistant", "content": answer.text},
                ]
        settings = self.settings
        return Question(
            messages=[*messages, {"role": "user", "content": turn.question}],
            system=settings.system,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_new_tokens=settings.max_new_tokens,
            seed=settings.seed,
        )

    async def _answer(self, answer: Answer, question: "Question", *, of_base: bool) -> None:
        try:
            await self._load()
            answer.state = READING
            self.changed()
            async for piece in self.talks.open(self.subject).answer(question, of_base=of_base):
                answer.text = piece.text if piece.reason else answer.text + piece.text
                answer.state = DONE if piece.reason else WRITING
                answer.reason, answer.num_tokens = piece.reason, piece.num_tokens
                answer.seconds, answer.num_forgotten = piece.seconds, piece.num_forgotten
                self.changed()
        except TalkProblem as problem:
            answer.state, answer.problem = FAILED, problem
            self.changed()
