"""Renders conversations and finds what the template renders for the assistant, whatever the template.

Trained on is all that stands after the header of an assistant's turn: what it says, the end-of-turn token, and what
closes the turn.  Where that begins and ends is proven by rendering again, never guessed from a template's text:

1. Prefixes.  The conversation up to the turn (with the generation prompt), and up to and with it, are both
   prefixes of the whole rendering: then the turn is what lies between.
2. Marker, for templates that write earlier turns differently.  The turn is replaced by a marker: all that the two
   renderings share isn't its content.  Where the header ends and which part of the rest closes the turn is
   told by a canonical conversation of the same template.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from jinja2 import Environment
from jinja2.exceptions import TemplateError, TemplateSyntaxError

from autotrain import log
from autotrain.data.flow import only_writes_contents
from autotrain.data.marked import Span
from autotrain.data.messages import Message, RowProblem
from autotrain.data.skeleton import Skeletons, plain_roles
from autotrain.data.templates import ZEPHYR, ZEPHYR_ROLES

MARKER = "TurnMarkerQ7x"
# How a template asks for the date.
_ASKS_DATE = re.compile(r"""strftime_now\(\s*(['"])(?P<format>[^'"]*)\1\s*\)""")
# What a template may close a turn with comes in these units; a closing never ends inside one.
_TAGS = r"<[^<>\s]*>|\[[^\[\]\s]*\]|\s|\S"


@dataclass(frozen=True, slots=True)
class Rendered:
    """text: the whole rendering.  spans: character ranges of the assistant's turns, headers excluded, in order."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Canonical:
    """header: what opens an assistant's turn.  gaps: what may stand between that and the content.

    closing: what ends the last turn."""

    header: str
    gaps: tuple[str, ...]
    closing: str


class ChatTemplate:
    """A tokenizer's chat template.  day: what templates that write the date take for today; None: today."""

    def __init__(self, tokenizer: Any, day: date | None = None) -> None:
        self._tokenizer = tokenizer
        self._special = sorted((str(token) for token in tokenizer.get_added_vocab()), key=len, reverse=True)
        template = tokenizer.chat_template
        self._source = template if isinstance(template, str) else json.dumps(template)
        self._shows_calls = "tool_calls" in self._source
        self._shows_tools = "tools" in self._source
        # None is the tokenizer's own.  Transformers gives templates a clock that can't be set, so the date is put in.
        self._dated = _with_day(template, day) if day and isinstance(template, str) else None
        self._is_taken_apart = isinstance(template, str) and _only_writes_contents(self._dated or template)
        self._texts = Skeletons(lambda messages: (self.render(messages), ()))
        self._turns = Skeletons(lambda messages: _parts(self._prove_spans(messages, ())))
        self._answers = Skeletons(lambda messages: _parts(self._prove_answer(messages, ())))

    def render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), *, prompt: bool = False
    ) -> str:
        """The text of a conversation; with `prompt`, up to where an answer begins.

        Raises RowProblem if the template refuses it.
        """
        try:
            return self._tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                tokenize=False,
                add_generation_prompt=prompt,
                chat_template=self._dated,
            )
        except TemplateError as error:
            raise RowProblem(f"the chat template refuses the conversation: {error.message}") from None
        except (TypeError, ValueError) as error:
            raise RowProblem(f"the chat template can't render the conversation: {error}") from None

    def shown(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[Message]:
        """The messages as the template can show them: tool calls become text where it has no place for them."""
        if tools and not self._shows_tools:
            log.notice("the chat template has no place for tools: the column 'tools' isn't shown to the model")
        if self._source.endswith(ZEPHYR) and any(message["role"] not in ZEPHYR_ROLES for message in messages):
            log.notice("zephyr renders the roles system, user and assistant only: turns of other roles are left out")
        if self._shows_calls or not any(message.get("tool_calls") for message in messages):
            return [dict(message) for message in messages]
        log.notice("the chat template has no place for tool calls: they are written into the answer as JSON")
        return [_calls_as_text(dict(message)) for message in messages]

    def render_text(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> str:
        """As `render`, for many conversations."""
        quick = self._quick(self._texts, messages, tools)
        return quick.text if quick else self.render(messages, tools)

    def render_spans(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> Rendered:
        """Render, and prove where the assistant's turns are.  Raises RowProblem if that can't be proven."""
        return self._quick(self._turns, messages, tools) or self._prove_spans(messages, tools)

    def render_answer(self, messages: Sequence[Message], tools: Sequence[Message] = ()) -> Rendered:
        """As render_spans, for the last turn alone, which must be the assistant's."""
        return self._quick(self._answers, messages, tools) or self._prove_answer(messages, tools)

    def _quick(
        self, skeletons: Skeletons, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> Rendered | None:
        """By filling in what the template writes around turns of these roles, where their contents don't matter to that."""
        roles = plain_roles(messages) if self._is_taken_apart and not tools else None
        skeleton = skeletons.of(roles) if roles else None
        return Rendered(*skeleton.fill([message["content"] for message in messages])) if skeleton else None

    def _prove_spans(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Message]) -> Rendered:
        text = self.render(messages, tools)
        spans: list[Span] = []
        for turn, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            span = self._span(messages, tools, turn, text)
            if span is None or (spans and span[0] < spans[-1][1]):
                raise RowProblem(
                    f"it can't be proven which part of the rendered text is the assistant's turn (message {turn + 1}); "
                    "set train_on_prompt: true to train on everything, or use another chat_template"
                )
            spans.append(span)
        return Rendered(text, tuple(spans))

    def _prove_answer(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Message]) -> Rendered:
        text = self.render(messages, tools)
        span = self._span(messages, tools, len(messages) - 1, text)
        if span is None:
            raise RowProblem("it can't be proven where in the rendered text the answer begins; use another chat_template")
        return Rendered(text, (span,))

    def _span(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Message], turn: int, text: str) -> Span | None:
        return self._by_prefix(messages, tools, turn, text) or self._by_marker(messages, tools, turn, text)

    def closing(self) -> str:
        """What ends the last assistant turn, or "" where that can't be told."""
        return self._canonical.closing if self._canonical else ""

    def _by_prefix(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Message], turn: int, text: str
    ) -> Span | None:
        if turn == 0:
            return None
        try:
            before = self.render(messages[:turn], tools, prompt=True)
            through = text if turn == len(messages) - 1 else self.render(messages[: turn + 1], tools)
        except RowProblem:
            return None
        is_proven = text.startswith(before) and text.startswith(through) and len(before) < len(through)
        return (len(before), len(through)) if is_proven else None

    def _by_marker(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Message], turn: int, text: str
    ) -> Span | None:
        canonical = self._canonical
        marked_messages = [*messages[:turn], {"role": "assistant", "content": MARKER}, *messages[turn + 1 :]]
        try:
            marked = self.render(marked_messages, tools)
        except RowProblem:
            return None
        if canonical is None or MARKER in text or marked.count(MARKER) != 1:
            return None
        before, after = marked.split(MARKER)
        gap = next((gap for gap in canonical.gaps if before.endswith(canonical.header + gap)), None)
        if gap is None:
            return None
        start = len(before) - len(gap)
        content_end = len(text) - len(after)
        if text[:start] != before[:start] or not text.endswith(after) or content_end < start:
            return None
        end = content_end + len(self._shared_closing(canonical.closing, after))
        return (start, end) if end > start else None

    def _shared_closing(self, closing: str, after: str) -> str:
        """The longest beginning of `closing`, in whole units, with which `after` begins too."""
        shared = ""
        for unit in self._units.findall(closing):
            if not after.startswith(shared + unit):
                break
            shared += unit
        return shared

    @cached_property
    def _units(self) -> re.Pattern[str]:
        return re.compile("|".join([*map(re.escape, self._special), _TAGS]))

    @cached_property
    def _canonical(self) -> _Canonical | None:
        """How the template writes an assistant's turn, told by a conversation whose parts are known."""
        question: Message = {"role": "user", "content": "QuestionQ7x"}
        answer: Message = {"role": "assistant", "content": MARKER}
        try:
            asked = self.render([question])
            prompted = self.render([question], prompt=True)
            last = self.render([question, answer])
        except RowProblem:
            return None
        if last.count(MARKER) != 1:
            return None
        before, closing = last.split(MARKER)
        # Templates that end every rendering with something (EOS) have less in common with the prompt.
        opened = _common_beginning(prompted, before)
        header = opened[len(_common_beginning(asked, opened)) :]
        gaps = {before[len(opened) :]}
        try:
            earlier = self.render(
                [question, answer, {"role": "user", "content": "FollowUpQ7x"}, {"role": "assistant", "content": "x"}]
            )
        except RowProblem:
            earlier = last
        before_earlier = earlier.split(MARKER)[0]
        if header and header in before_earlier:
            gaps.add(before_earlier[before_earlier.rindex(header) + len(header) :])
        elif before_earlier.startswith(opened):
            gaps.add(before_earlier[len(opened) :])
        return _Canonical(header, tuple(sorted(gaps, key=len, reverse=True)), closing)


def _only_writes_contents(template: str) -> bool:
    environment = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    try:
        return only_writes_contents(environment.parse(template))
    except TemplateSyntaxError:
        return False


def _parts(rendered: Rendered) -> tuple[str, tuple[Span, ...]]:
    return rendered.text, rendered.spans


def _with_day(template: str, day: date) -> str:
    """The template, with the date put in wherever it asks for today's."""
    return _ASKS_DATE.sub(lambda asked: json.dumps(day.strftime(asked["format"])), template)


def _common_beginning(one: str, other: str) -> str:
    length = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


def _calls_as_text(message: Message) -> Message:
    calls = message.get("tool_calls")
    if not calls:
        return message
    texts = [json.dumps(call["function"], ensure_ascii=False) for call in calls]
    rest = {key: value for key, value in message.items() if key != "tool_calls"}
    return {**rest, "content": "\n".join(part for part in (message["content"], *texts) if part)}
