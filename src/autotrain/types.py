"""The records that data, models, objectives and training exchange.

Shape legend: N tokens of a batch, M predictions, S sequences, H hidden size, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row comes from: `file:line` (1-based) or, for hub data, `dataset[split]:row`."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Row:
    """One row as read: cells keep the types that the file gave them."""

    cells: Mapping[str, Any]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text; `prompt` (may be empty) comes before it and is not trained on by default."""

    text: str
    origin: Origin
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in the OpenAI form (`role`, `content`, `tool_calls`, ...) and the tools on offer."""

    messages: tuple[Mapping[str, Any], ...]
    origin: Origin
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Preference:
    """A prompt and two answers to it, `chosen` the better one, by `margin` where that is known.

    Texts, or messages: then `prompt` is what both dialogues share, and the answers are what comes after.
    """

    prompt: str | tuple[Mapping[str, Any], ...]
    chosen: str | tuple[Mapping[str, Any], ...]
    rejected: str | tuple[Mapping[str, Any], ...]
    origin: Origin
    tools: tuple[Mapping[str, Any], ...] = ()
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """A prompt and one answer to it, which is good (`label` true) or isn't; texts or messages."""

    prompt: str | tuple[Mapping[str, Any], ...]
    completion: str | tuple[Mapping[str, Any], ...]
    label: bool
    origin: Origin
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens of one example.

    ids: (length,) int32 token ids.  trained: (length,) bool, whether the token is a target.
    parent: index of the segment in the same example that this one continues, or None.
    sequence: index, within the example, of the sequence whose log-probability it belongs to.
    """

    ids: np.ndarray
    trained: np.ndarray
    parent: int | None = None
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A tree of segments: text and a conversation are one segment, a preference pair is three.

    Parents stand before their children.  `num_sequences` log-probabilities come out of it.  margin: by how much the
    chosen answer is better; label: 1.0 for a good answer, 0.0 for a bad one; both 0.0 where the data say nothing.
    """

    segments: tuple[Segment, ...]
    num_sequences: int = 1
    margin: float = 0.0
    label: float = 0.0

    @property
    def num_tokens(self) -> int:
        return sum(len(segment.ids) for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Span:
    """A segment as laid out in a batch: tokens start .. start+length-1; parent indexes the spans."""

    start: int
    length: int
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A forest laid out flat, without padding.

    input_ids, position_ids: (N,) int64; positions continue from the parent's end.
    source: (M,) int64, index in 0..N-1 of the hidden state that predicts.
    target: (M,) int64 token ids.  sequence: (M,) int64, whose log-probability it is, in 0..S-1.
    sequence_end: (S,) int64, index of the last token of each sequence (where a score is read).
    facts: what the data say about each example, for objectives that need it.
    """

    input_ids: Tensor
    position_ids: Tensor
    spans: tuple[Span, ...]
    source: Tensor
    target: Tensor
    sequence: Tensor
    sequence_end: Tensor
    num_examples: int
    facts: "Facts | None" = None

    @property
    def num_tokens(self) -> int:
        return int(self.input_ids.shape[0])

    @property
    def num_sequences(self) -> int:
        return int(self.sequence_end.shape[0])


@dataclass(frozen=True, slots=True)
class LogProbs:
    """per_token: (M,) float32 log-probabilities of the targets; sequence: (M,) int64; num_sequences: S."""

    per_token: Tensor
    sequence: Tensor
    num_sequences: int


@dataclass(frozen=True, slots=True)
class Scores:
    """values: (S,) float32, what a reward model gives each sequence."""

    values: Tensor


@dataclass(frozen=True, slots=True)
class Facts:
    """What the data say about the examples of a batch: margin, label: (num_examples,) float32, as in Example."""

    margin: Tensor
    label: Tensor


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals of one whole optimizer step, over all micro-batches and ranks: the only divisors of a loss.

    tokens: predictions (trained tokens).  tokens_by_sequence: those of the first, second, ... sequence of each
    example, so of a pair the chosen and the rejected answers; they add up to `tokens`.
    """

    tokens: int
    sequences: int
    examples: int
    tokens_by_sequence: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """value: scalar, this micro-batch's share of the step's loss (shares add up to it).

    metrics: scalar shares to be added up over the step in the same way.
    """

    value: Tensor
    metrics: Mapping[str, Tensor] = field(default_factory=dict)
