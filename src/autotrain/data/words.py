"""Token ids by looking up words: most of a text are words that were encoded before.

For tokenizers that cut a text before each single space anyway, whatever stands around it, the ids of a text are those of
its pieces between such spaces, one after the other.  Which tokenizers do is known by their rules for cutting; others are
left to the library, and so is text of which most pieces are new, as in languages that write no spaces.
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, filterfalse, pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models

from autotrain.data.marked import Encoded, Marked

_MAX_WORDS = 300_000
_JOINED_WORDS = 1000
_MAX_NEW_SHARE = 0.5  # of the characters of a window; above, looking up costs more than it saves
# These stand in no text that is cut.
_MARK, _BORDER = "\0", "\1"
# A cut is before a space that follows anything but white space.
_CUT = re.compile(r"(?<=\S) ")
_SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_BEFORE_NO_CUT = tuple((space, space + " ") for space in _SPACES)
_BEFORE_NO_CUT_ASCII = tuple(pair for pair in _BEFORE_NO_CUT if pair[0].isascii())
# Rules of which no match goes from something else into a space: GPT-2's, and those of Llama 3, Qwen 2 and GPT-4o.
_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_KNOWN_RULES = frozenset(
    {
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        *(
            rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}|"
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            for digits in (r"\p{N}", r"\p{N}{1,3}")
        ),
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    }
)


def cuts_at_spaces(tokenizer: Any) -> bool:
    """Whether it is known of a tokenizer of transformers that the ids of a text are those of its pieces."""
    if not tokenizer.is_fast or tokenizer.split_special_tokens:
        return False
    backend: Tokenizer = tokenizer.backend_tokenizer
    if not isinstance(backend.model, models.BPE) or backend.model.dropout:
        return False
    if _state(backend.normalizer).get("type", "NFC") != "NFC" or not _cuts(_state(backend.pre_tokenizer)):
        return False
    added = backend.get_added_tokens_decoder().values()
    return not any(token.lstrip or token.rstrip or token.single_word or _CUT.search(token.content) for token in added)


def _state(part: Any) -> dict[str, Any]:
    return {} if part is None else json.loads(part.__getstate__())


def _cuts(rule: dict[str, Any]) -> bool:
    steps = rule["pretokenizers"] if rule.get("type") == "Sequence" else [rule]
    return all(map(_is_known, steps)) and any(
        step["type"] == "Split" or (step["type"] == "ByteLevel" and step["use_regex"]) for step in steps
    )


def _is_known(step: dict[str, Any]) -> bool:
    if step.get("type") == "Split":
        is_plain = step["behavior"] == "Isolated" and not step["invert"]
        return is_plain and step["pattern"].get("Regex") in _KNOWN_RULES
    return step.get("type") == "Digits" or (step.get("type") == "ByteLevel" and not step["add_prefix_space"])


class WordEncoder:
    """For tokenizers of which `cuts_at_spaces` holds.  is_useful: false once a window was mostly new to it."""

    def __init__(self, tokenizer: Any) -> None:
        self._backend: Tokenizer = tokenizer.backend_tokenizer
        self._added = tuple(self._backend.get_added_tokens_decoder().values())
        # Tokens of which each occurrence is one: the text is cut around them, too.
        self._specials: frozenset[str] | None = None
        self._ends_lines = not any("\n" in token.content for token in self._added)
        self._ids: dict[str, bytes] = {"": b""}  # int32
        self._is_border: dict[tuple[str, str], bool] = {}
        self.is_useful = True

    def encode(self, texts: Sequence[Marked]) -> list[Encoded | None]:
        """None for a text in which a token stands across the border of a span, or may do."""
        if self._specials is None:
            self._specials = self._find_specials(texts)
        for known in (self._ids, self._is_border):
            if len(known) > _MAX_WORDS:
                known.clear()
        self._ids[""] = b""
        cut = [self._cut(marked) for marked in texts]
        new: set[str] = set()
        for parts in cut:
            new.update(filterfalse(self._ids.__contains__, chain.from_iterable(parts or ())))
        self._learn(new)
        self.is_useful = sum(map(len, new)) <= _MAX_NEW_SHARE * sum(len(marked.text) for marked in texts)
        return [None if parts is None else self._encode(marked, parts) for marked, parts in zip(texts, cut, strict=True)]

    def _find_specials(self, texts: Sequence[Marked]) -> frozenset[str]:
        """Added tokens in these texts that overlap with no other: wherever the text has one, it is one token."""
        exact = [token.content for token in self._added if not token.normalized]
        found = [content for content in exact if any(content in marked.text for marked in texts)]
        others = [token.content for token in self._added]
        return frozenset(one for one in found if not any(_overlap(one, other) for other in others if other != one))

    def _cut(self, marked: Marked) -> list[list[str]] | None:
        """The pieces before, in and after each span; None if it can't be told where to cut."""
        text, specials = marked.text, self._specials or ()
        if _MARK in text or _BORDER in text:
            return None
        pairs = _BEFORE_NO_CUT_ASCII if text.isascii() else _BEFORE_NO_CUT
        has_pairs = any(space in text and pair in text for space, pair in pairs)
        borders = [0, *chain.from_iterable(marked.spans), len(text)]
        whole = _BORDER.join([text[first:last] for first, last in pairwise(borders)])
        whole = _CUT.sub(_MARK + " ", whole) if has_pairs else whole.replace(" ", _MARK + " ")
        for special in specials:
            whole = whole.replace(special, _MARK + special + _MARK)
        return [part.split(_MARK) for part in whole.split(_BORDER)]

    def _learn(self, new: Iterable[str]) -> None:
        """Encode pieces: those that begin and end as a text may be cut are put into one text, which is faster."""
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        words, others = list[str](), list[str]()
        for piece in new:
            (words if piece[0] == " " and not piece[-1].isspace() else others).append(piece)
        for number in range(0, len(words), _JOINED_WORDS):
            self._learn_joined(words[number : number + _JOINED_WORDS])
        encodings = self._backend.encode_batch_fast(others, add_special_tokens=False)
        self._ids.update((one, _as_bytes(encoding.ids)) for one, encoding in zip(others, encodings, strict=True))

    def _learn_joined(self, words: Sequence[str]) -> None:
        encoding = self._backend.encode("".join(words), add_special_tokens=False)
        ids = _as_bytes(encoding.ids)
        token_ends = np.array([end for _, end in encoding.offsets], np.int64)
        last_tokens = 4 * np.searchsorted(token_ends, np.cumsum([len(word) for word in words]), side="right")
        start = 0
        for word, end in zip(words, last_tokens.tolist(), strict=True):
            self._ids[word] = ids[start:end]
            start = end

    def _encode(self, marked: Marked, parts: list[list[str]]) -> Encoded | None:
        if not self._are_borders([part for part in parts if part != [""]]):
            return None
        blobs = [b"".join(map(self._ids.__getitem__, part)) for part in parts]
        ids = np.frombuffer(b"".join(blobs), np.int32)
        if marked.spans == ((0, len(marked.text)),):
            return Encoded(ids, np.ones(len(ids), np.bool_))
        trained = np.zeros(len(ids), np.bool_)
        ends = list(accumulate(len(blob) // 4 for blob in blobs))
        for number in range(1, len(blobs), 2):
            trained[ends[number - 1] : ends[number]] = True
        return Encoded(ids, trained)

    def _are_borders(self, parts: Sequence[list[str]]) -> bool:
        """Whether no token stands across two parts.  Each border is looked at by itself."""
        specials, was_free = self._specials or (), True
        for before, after in pairwise(parts):
            head = next(piece for piece in after if piece)
            tail = next(piece for piece in reversed(before) if piece)
            is_free = head in specials or tail in specials
            # A part of one piece, open on both sides, may be joined with both at once.
            if not is_free and (not self._parts(tail, head) or not (was_free or len(before) > 1)):
                return False
            was_free = is_free
        return True

    def _parts(self, tail: str, head: str) -> bool:
        # In no known rule does a match go from a line's end into what begins the next one.
        if self._ends_lines and tail.endswith("\n") and not (head[0].isspace() or tail[-2:-1].isspace()):
            return True
        key = tail, head
        if key not in self._is_border:
            whole = self._backend.encode(tail + head, add_special_tokens=False).ids
            self._is_border[key] = _as_bytes(whole) == self._ids[tail] + self._ids[head]
        return self._is_border[key]


def _as_bytes(ids: list[int]) -> bytes:
    return np.array(ids, np.int32).tobytes()


def _overlap(one: str, other: str) -> bool:
    is_inside = one in other or other in one
    return is_inside or any(
        first.endswith(last[:length])
        for first, last in ((one, other), (other, one), (one, one))
        for length in range(1, min(len(first), len(last)))
    )
