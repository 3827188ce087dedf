"""A sample as a person would read it: who says what, before any template renders it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autotrain.data.samples import Sample
from autotrain.types import Conversation, Labelled, Preference, Text


@dataclass(frozen=True, slots=True)
class Turn:
    """role: of the message, or "text" for plain text and "prompt" for what stands before it."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class ShownPart:
    """name: "", or "prompt", "chosen", "rejected", "good", "bad"."""

    name: str
    turns: tuple[Turn, ...]


def shown_parts(sample: Sample) -> tuple[ShownPart, ...]:
    """The parts of a sample: one of a text or a conversation, a prompt and its answers of others."""
    if isinstance(sample, Text):
        before = (Turn("prompt", sample.prompt),) if sample.prompt else ()
        return (ShownPart("", (*before, Turn("text", sample.text))),)
    if isinstance(sample, Conversation):
        return (ShownPart("", _turns(sample.messages, "text")),)
    prompt = _turns(sample.prompt, "prompt")
    shared = (ShownPart("prompt", prompt),) if prompt else ()
    if isinstance(sample, Labelled):
        return (*shared, ShownPart("good" if sample.label else "bad", _turns(sample.completion, "text")))
    return (*shared, *_answers(sample))


def _answers(pair: Preference) -> tuple[ShownPart, ShownPart]:
    return ShownPart("chosen", _turns(pair.chosen, "text")), ShownPart("rejected", _turns(pair.rejected, "text"))


def _turns(said: str | Sequence[Mapping[str, Any]], role: str) -> tuple[Turn, ...]:
    if isinstance(said, str):
        return (Turn(role, said),) if said else ()
    return tuple(Turn(str(message["role"]), _text(message)) for message in said)


def _text(message: Mapping[str, Any]) -> str:
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls") or ()]
    return "\n".join(part for part in (str(message["content"]), *calls) if part)
