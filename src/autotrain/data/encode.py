"""Text with marked spans becomes token ids with marks, and no token is on both sides of a border."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from autotrain.data.marked import Encoded, Marked
from autotrain.data.messages import RowProblem
from autotrain.data.words import WordEncoder, cuts_at_spaces

# Texts that are encoded in both ways, to be sure that looking up words gives what the library gives.
_NUM_COMPARED = 32


class SpanEncoder:
    """Encodes as transformers' apply_chat_template does: the whole text, without adding special tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._words = WordEncoder(tokenizer) if cuts_at_spaces(tokenizer) else None
        self._num_compared = 0

    def encode(self, texts: Sequence[Marked]) -> list[Encoded | RowProblem]:
        """Encode many texts at once; a text whose spans can't be kept apart gives a RowProblem."""
        if self._words is None or not texts:
            return self._encode_whole(texts)
        found = self._words.encode(texts)
        left = [number for number, one in enumerate(found) if one is None]
        by_library = dict(zip(left, self._encode_whole([texts[number] for number in left]), strict=True))
        encoded = [by_library[number] if one is None else one for number, one in enumerate(found)]
        if not self._agrees(texts, encoded):
            self._words = None
            return self._encode_whole(texts)
        if not self._words.is_useful:
            self._words = None
        return encoded

    def _agrees(self, texts: Sequence[Marked], encoded: Sequence[Encoded | RowProblem]) -> bool:
        """Compare the first texts with what the library makes of them."""
        number = min(len(texts), _NUM_COMPARED - self._num_compared)
        self._num_compared += number
        return all(map(_is_same, encoded[:number], self._encode_whole(texts[:number])))

    def _encode_whole(self, texts: Sequence[Marked]) -> list[Encoded | RowProblem]:
        if not texts:
            return []
        if not self._tokenizer.is_fast:
            return [self._encode_pieces(marked, self._ids(marked.text)) for marked in texts]
        batch = self._tokenizer(
            [marked.text for marked in texts],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        rows = zip(texts, batch["input_ids"], batch["offset_mapping"], strict=True)
        return [self._mark(marked, ids, offsets) for marked, ids, offsets in rows]

    def encode_pieces(self, marked: Marked) -> Encoded | RowProblem:
        """Encode what stands before, in and after each span by itself, so that none depends on what follows it."""
        return self._encode_pieces(marked, self._ids(marked.text))

    def _mark(self, marked: Marked, ids: list[int], offsets: list[tuple[int, int]]) -> Encoded | RowProblem:
        if marked.spans == ((0, len(marked.text)),):
            return Encoded(np.array(ids, np.int32), np.ones(len(ids), np.bool_))
        start, end = np.array(offsets, np.int64).reshape(-1, 2).T
        # Byte-level tokenizers leave the space before a word out of its offsets; it belongs to the token all the same.
        start = np.minimum(start, np.concatenate([[0], end[:-1]]))
        trained = np.zeros(len(ids), np.bool_)
        for first, last in marked.spans:
            for border in (first, last):
                if np.any((start < border) & (border < end)):
                    return self._encode_pieces(marked, ids)
            trained |= (start >= first) & (end <= last) & (end > first)
        return Encoded(np.array(ids, np.int32), trained)

    def _encode_pieces(self, marked: Marked, whole: list[int]) -> Encoded | RowProblem:
        """Cut the text at the borders and encode the pieces, as inference does with prompt and answer."""
        pieces = _cut(marked)
        for encode in (self._ids, self._ids_after_newline):
            encoded = [
                (encode(text) if number else self._ids(text), trained) for number, (text, trained) in enumerate(pieces)
            ]
            ids = [token_id for piece, _ in encoded for token_id in piece]
            if ids == whole or self._text(ids) == self._text(whole):
                trained = np.repeat([is_trained for _, is_trained in encoded], [len(piece) for piece, _ in encoded])
                return Encoded(np.array(ids, np.int32), trained.astype(np.bool_))
        return RowProblem(
            "the tokenizer joins the end of a prompt with the beginning of an answer, and cutting there changes the text; "
            "set train_on_prompt: true to train on everything, or use another chat_template"
        )

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _ids_after_newline(self, text: str) -> list[int]:
        """SentencePiece puts a space before a text, but not after a newline."""
        newline = self._ids("\n")
        ids = self._ids("\n" + text)
        return ids[len(newline) :] if ids[: len(newline)] == newline else self._ids(text)

    def _text(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def _is_same(one: Encoded | RowProblem, other: Encoded | RowProblem) -> bool:
    if isinstance(one, RowProblem) or isinstance(other, RowProblem):
        return isinstance(one, RowProblem) and isinstance(other, RowProblem)
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.trained, other.trained)


def _cut(marked: Marked) -> list[tuple[str, bool]]:
    """The text in pieces, with whether each is trained on."""
    pieces: list[tuple[str, bool]] = []
    position = 0
    for first, last in marked.spans:
        pieces += [(marked.text[position:first], False), (marked.text[first:last], True)]
        position = last
    pieces.append((marked.text[position:], False))
    return [(text, trained) for text, trained in pieces if text]


def framed(encoded: Encoded, prefix: tuple[int, ...], suffix: tuple[int, ...], *, trains_on_prefix: bool = False) -> Encoded:
    """Put ids before and after, unless they are there already; what is put after is trained on."""
    if not prefix and not suffix:
        return encoded
    ids, trained = encoded.ids, encoded.trained
    if prefix and tuple(ids[: len(prefix)]) != prefix:
        ids = np.concatenate([np.array(prefix, np.int32), ids])
        trained = np.concatenate([np.full(len(prefix), trains_on_prefix), trained])
    if suffix:
        while len(ids) >= 2 * len(suffix) and tuple(ids[-2 * len(suffix) :]) == suffix * 2:
            ids, trained = ids[: -len(suffix)], trained[: -len(suffix)]
        if tuple(ids[-len(suffix) :]) != suffix:
            ids = np.concatenate([ids, np.array(suffix, np.int32)])
            trained = np.concatenate([trained, np.ones(len(suffix), np.bool_)])
    return Encoded(ids, trained)
