"""What a template writes around the turns, found once for all conversations with the same roles."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autotrain.data.marked import Span
from autotrain.data.messages import RowProblem

Roles = tuple[str, ...]
_MAX_SKELETONS = 2000
# White space that no template writes shows whether a content was trimmed.
_EDGE = "\u2003"
_CONTENT = re.compile(f"({_EDGE}?)ContentQ7x(\\d+)x({_EDGE}?)")


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Literal texts and, between them, the contents of turns.

    literals: one more than contents.  contents: (turn, whether it is trimmed).
    borders: of each span, where it begins and ends: (contents before it, characters of the literal after them).
    """

    literals: tuple[str, ...]
    contents: tuple[tuple[int, bool], ...]
    borders: tuple[tuple[tuple[int, int], tuple[int, int]], ...] = ()

    def fill(self, said: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
        """The text with what each turn says, and the spans in it."""
        parts = [self.literals[0]]
        ends = [0]  # where each literal begins in the text
        length = len(self.literals[0])
        for (turn, is_trimmed), literal in zip(self.contents, self.literals[1:], strict=True):
            content = said[turn].strip() if is_trimmed else said[turn]
            length += len(content)
            ends.append(length)
            length += len(literal)
            parts += [content, literal]
        spans = tuple((ends[first] + more, ends[last] + further) for (first, more), (last, further) in self.borders)
        return "".join(parts), spans


def plain_roles(messages: Sequence[Mapping[str, Any]]) -> Roles | None:
    """The roles, if all messages have a role and a text and nothing else."""
    for message in messages:
        if len(message) != 2 or "role" not in message or not isinstance(message.get("content"), str):
            return None
    return tuple(message["role"] for message in messages)


class Skeletons:
    """The skeletons of a template for which `only_writes_contents` holds.

    render: what the template makes of messages, with or without spans; it may raise RowProblem.
    """

    def __init__(self, render: Callable[[Sequence[Mapping[str, Any]]], tuple[str, tuple[Span, ...]]]) -> None:
        self._render = render
        self._by_roles: dict[Roles, Skeleton | None] = {}

    def of(self, roles: Roles) -> Skeleton | None:
        """None where the template can't be taken apart for these roles, or refuses them."""
        if roles not in self._by_roles:
            if len(self._by_roles) >= _MAX_SKELETONS:
                return None
            self._by_roles[roles] = self._take_apart(roles)
        return self._by_roles[roles]

    def _take_apart(self, roles: Roles) -> Skeleton | None:
        said = [f"{_EDGE}ContentQ7x{turn}x{_EDGE}" for turn in range(len(roles))]
        messages = [{"role": role, "content": content} for role, content in zip(roles, said, strict=True)]
        try:
            text, spans = self._render(messages)
        except RowProblem:
            return None
        found = list(_CONTENT.finditer(text))
        if _EDGE in _CONTENT.sub("", text) or any(bool(match[1]) != bool(match[3]) for match in found):
            return None
        starts = [0, *(match.end() for match in found)]
        ends = [*(match.start() for match in found), len(text)]
        borders: list[tuple[tuple[int, int], tuple[int, int]]] = []
        for span in spans:
            first, last = (_place(position, starts, ends) for position in span)
            if first is None or last is None:
                return None
            borders.append((first, last))
        skeleton = Skeleton(
            tuple(text[start:end] for start, end in zip(starts, ends, strict=True)),
            tuple((int(match[2]), not match[1]) for match in found),
            tuple(borders),
        )
        return skeleton if skeleton.fill(said) == (text, spans) else None


def _place(position: int, starts: Sequence[int], ends: Sequence[int]) -> tuple[int, int] | None:
    """Which literal a position is in or at the border of, and how far; None inside a content."""
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if start <= position <= end:
            return number, position - start
    return None
