"""What is trained on, made visible: the tokens of the first rows, the trained ones marked."""

from dataclasses import dataclass
from typing import Any

from autotrain.data.store import ExampleStore
from autotrain.types import Example, Origin, Segment

Piece = tuple[str, bool]
UNFINISHED = "\ufffd"


@dataclass(frozen=True, slots=True)
class InspectedPart:
    """name: "" of a whole text, otherwise prompt, chosen or rejected.

    pieces: (text, whether it is trained on) of each token; tokens that share a character are joined.
    """

    name: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class InspectedRow:
    """parts: one, or those of a pair; an answer continues the prompt, or is a whole text by itself."""

    origin: Origin
    parts: tuple[InspectedPart, ...]
    num_tokens: int
    num_trained: int

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All parts one after the other, each below its name."""
        pieces: list[Piece] = []
        for part in self.parts:
            if part.name:
                pieces.append((("\n" if pieces else "") + f"--- {part.name}\n", False))
            pieces += part.pieces
        return tuple(pieces)


def inspect_rows(store: ExampleStore, tokenizer: Any, how_many: int) -> list[InspectedRow]:
    """The first `how_many` examples of the store (blocks of several rows, for the trainer `default`)."""
    rows: list[InspectedRow] = []
    num_tokens, num_trained = store.num_tokens, store.num_trained
    for index in range(min(how_many, len(store))):
        parts = _parts(store[index], tokenizer)
        rows.append(InspectedRow(store.origin(index), parts, int(num_tokens[index]), int(num_trained[index])))
    return rows


def _parts(example: Example, tokenizer: Any) -> tuple[InspectedPart, ...]:
    names = ("prompt", "chosen", "rejected")[-len(example.segments) :] if len(example.segments) > 1 else ("",)
    return tuple(
        InspectedPart(name, tuple(_pieces(segment, tokenizer)))
        for name, segment in zip(names, example.segments, strict=True)
    )


def _pieces(segment: Segment, tokenizer: Any) -> list[Piece]:
    trained = segment.trained.tolist()
    if segment.parent is None:
        trained[0] = False  # Nothing predicts the first token.
    pieces: list[Piece] = []
    held: list[int] = []
    for number, token_id in enumerate(segment.ids.tolist()):
        held.append(token_id)
        text = tokenizer.decode(held, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        is_last_of_kind = number + 1 == len(trained) or trained[number + 1] != trained[number]
        if text.endswith(UNFINISHED) and not is_last_of_kind and len(held) < 8:
            continue
        pieces.append((text, trained[number]))
        held = []
    return pieces
