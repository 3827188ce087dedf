"""Token ids by looking up words: most of a text are words that were encoded before.

For tokenizers that cut a text before each single space anyway, whatever stands around it, the ids of a text are those of
its pieces between such spaces, one after the other.  Which tokenizers do is known by their rules for cutting; others are
left to the library, and so is text of which most pieces are new, as in languages that write no spaces.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models

from autotrain.data.marked import Encoded, Marked
from autotrain.data.word_table import IdsOfWords, WordNumbers

_MAX_WORDS = 300_000
_JOINED_WORDS = 200
_MAX_NEW_SHARE = 0.5  # of the characters of a window; above, looking up costs more than it saves
_FEW_CHARACTERS = 100_000
# Ends a part of a text; stands in no text that is cut.
_END = "\0"


# A cut is before a space that follows anything but white space.
_CUT = re.compile(r"(?<=\S) ")
_SPACES = tuple(character.encode() for character in map(chr, range(0x3001)) if character.isspace())


def _ends_of_spaces() -> np.ndarray:
    """(256, 256) bool: whether two bytes end as white space does.  Of ASCII, only the last one counts."""
    are_ends = np.zeros((256, 256), np.bool_)
    for space in _SPACES:
        are_ends[slice(None) if len(space) == 1 else space[-2], space[-1]] = True
    return are_ends


_ENDS_SPACE = _ends_of_spaces()
# Another is after a newline between anything but white space: only GPT-4o's rule has a match that may go on, into a slash.
_MAY_GO_ON = np.isin(np.arange(256), [space[0] for space in (*_SPACES, b"/")])
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
        self._specials: tuple[bytes, ...] | None = None
        self._cuts_lines = not any("\n" in token.content for token in self._added)
        self._words, self._ids = WordNumbers(), IdsOfWords()
        self._is_border: dict[tuple[int, int], bool] = {}
        self.is_useful = True

    def encode(self, texts: Sequence[Marked]) -> list[Encoded | None]:
        """None for a text in which a token stands across the border of a span, or may do."""
        if self._specials is None:
            self._specials = self._find_specials(texts)
        if max(len(self._words), len(self._is_border)) > _MAX_WORDS:
            self._words, self._ids = WordNumbers(), IdsOfWords()
            self._is_border.clear()
        parts = [_Parts.of(some) for some in _few(texts)]
        cut = partial(_cut, specials=self._specials, cuts_lines=self._cuts_lines)
        numbers = [self._words.look_up(some.raw, cut(some.raw)) for some in parts]
        new = self._words.new()
        self._ids.append(self._learn([word.decode() for word in new]))
        self.is_useful = sum(map(len, new)) <= _MAX_NEW_SHARE * sum(len(some.raw) for some in parts)
        return list(chain.from_iterable(map(self._assemble, parts, numbers)))

    def _find_specials(self, texts: Sequence[Marked]) -> tuple[bytes, ...]:
        """Added tokens in these texts that overlap with no other: wherever the text has one, it is one token."""
        exact = [token.content for token in self._added if not token.normalized]
        found = [content for content in exact if any(content in marked.text for marked in texts)]
        others = [token.content for token in self._added]
        return tuple(one.encode() for one in found if not any(_overlap(one, other) for other in others if other != one))

    def _learn(self, new: Sequence[str]) -> list[bytes]:
        """The ids of words: those that begin and end as a text may be cut are put into one text, which is faster."""
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        joined = [word for word in new if word[0] == " " and not word[-1].isspace()]
        others = list(set(new).difference(joined))
        encodings = self._backend.encode_batch_fast(others, add_special_tokens=False)
        ids = {word: _as_bytes(encoding.ids) for word, encoding in zip(others, encodings, strict=True)}
        for number in range(0, len(joined), _JOINED_WORDS):
            some = joined[number : number + _JOINED_WORDS]
            ids.update(zip(some, self._learn_joined(some), strict=True))
        return [ids[word] for word in new]

    def _learn_joined(self, words: Sequence[str]) -> list[bytes]:
        encoding = self._backend.encode("".join(words), add_special_tokens=False)
        ids = _as_bytes(encoding.ids)
        token_ends = np.array([end for _, end in encoding.offsets], np.int64)
        last_tokens = 4 * np.searchsorted(token_ends, np.cumsum([len(word) for word in words]), side="right")
        return [ids[start:end] for start, end in pairwise([0, *last_tokens.tolist()])]

    def _assemble(self, parts: "_Parts", numbers: np.ndarray) -> list[Encoded | None]:
        """numbers: (words,) int32, those of all parts, each with a 0 after it."""
        ids, word_ends = self._ids.of(numbers)
        part_ends = np.concatenate([[0], word_ends[numbers == 0]])
        trained = np.repeat(parts.are_trained, np.diff(part_ends))
        ends = part_ends[np.cumsum(parts.num_of_text)].tolist()
        unclear = self._unclear(parts, numbers)
        return [
            None if text in unclear else Encoded(ids[start:end], trained[start:end])
            for text, (start, end) in enumerate(pairwise([0, *ends]))
        ]

    def _unclear(self, parts: "_Parts", numbers: np.ndarray) -> set[int]:
        """Texts in which a token stands across two parts, or may do, and those without parts.

        Each border is looked at by itself.
        """
        ends = np.flatnonzero(numbers == 0)
        num_words = np.diff(ends, prepend=-1) - 1
        text_of_part = np.repeat(np.arange(len(parts.num_of_text)), parts.num_of_text)
        filled = np.flatnonzero(num_words)
        is_inside = text_of_part[filled[1:]] == text_of_part[filled[:-1]]
        before, after = filled[:-1][is_inside], filled[1:][is_inside]
        tails, heads = numbers[ends[before] - 1], numbers[ends[after] - num_words[after]]
        specials = [self._words.number(special) for special in self._specials or ()]
        is_free = np.isin(tails, specials) | np.isin(heads, specials)
        # A part of one word, open on both sides, may be joined with both at once.
        is_unclear = ~is_free & (num_words[before] == 1)
        is_unclear[1:] &= ~is_free[:-1] & (before[1:] == after[:-1])
        is_unclear[:1] = False
        asked = np.flatnonzero(~is_free)
        are_parted = map(self._parts, tails[asked].tolist(), heads[asked].tolist())
        is_unclear[asked] |= ~np.fromiter(are_parted, np.bool_, len(asked))
        return {*text_of_part[before[is_unclear]].tolist(), *np.flatnonzero(parts.num_of_text == 0).tolist()}

    def _parts(self, tail: int, head: int) -> bool:
        """Whether no token stands across the border between two words."""
        if (tail, head) not in self._is_border:
            self._is_border[tail, head] = self._finds_border(tail, head)
        return self._is_border[tail, head]

    def _finds_border(self, tail: int, head: int) -> bool:
        before, after = self._words[tail].decode(), self._words[head].decode()
        is_lone_newline = before.endswith("\n") and not before[-2:-1].isspace()
        if self._cuts_lines and is_lone_newline and not (after[0].isspace() or after[0] == "/"):
            return True
        whole = self._backend.encode(before + after, add_special_tokens=False).ids
        return whole == self._ids.of(np.array([tail, head]))[0].tolist()


@dataclass(frozen=True, slots=True)
class _Parts:
    """Texts, cut at the borders of their spans.

    raw: all parts, a byte 0 after each.  are_trained: (parts,) bool.  num_of_text: (texts,) int64, 0 for a text that has a
    byte 0 itself.
    """

    raw: bytes
    are_trained: np.ndarray
    num_of_text: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[Marked]) -> "_Parts":
        parts, are_trained, num_of_text = list[str](), list[bool](), list[int]()
        for marked in texts:
            text, spans = marked.text, marked.spans
            if _END in text:
                num_of_text.append(0)
                continue
            borders = [0, *chain.from_iterable(spans), len(text)]
            parts += [text[first:last] for first, last in pairwise(borders)]
            are_trained += [False, *(True, False) * len(spans)]
            num_of_text.append(len(borders) - 1)
        raw = _END.join([*parts, ""]).encode()
        return cls(raw, np.array(are_trained, np.bool_), np.array(num_of_text, np.int64))


def _few(texts: Sequence[Marked]) -> Iterator[Sequence[Marked]]:
    """Some texts at a time, so that what is computed of them stays in the processor's cache."""
    first = num_characters = 0
    for last, marked in enumerate(texts, start=1):
        num_characters += len(marked.text)
        if num_characters > _FEW_CHARACTERS or last == len(texts):
            yield texts[first:last]
            first, num_characters = last, 0


def _cut(raw: bytes, specials: Sequence[bytes], *, cuts_lines: bool) -> np.ndarray:
    """Where in `raw`, parts with a byte 0 after each, words begin: (words,) int64."""
    characters = np.frombuffer(raw, np.uint8)
    starts = np.zeros(len(raw) + 1, np.bool_)
    starts[0] = True
    is_end = characters == 0
    starts[:-1] |= is_end
    starts[1:] |= is_end
    # At the beginning, what is before is taken from the end: that is a 0 at least.
    spaces = np.flatnonzero(characters == ord(" "))
    starts[spaces[~_ENDS_SPACE[characters[spaces - 2], characters[spaces - 1]]]] = True
    if cuts_lines:
        lines = np.flatnonzero(characters == ord("\n"))
        lines = lines[~_MAY_GO_ON[characters[lines + 1]]]
        starts[lines[~_ENDS_SPACE[characters[lines - 2], characters[lines - 1]]] + 1] = True
    for special in specials:
        ends = np.cumsum(np.fromiter(map(len, raw.split(special)), np.int64)[:-1] + len(special))
        starts[ends - len(special)] = starts[ends] = True
    return np.flatnonzero(starts[:-1])


def _as_bytes(ids: list[int]) -> bytes:
    return np.array(ids, np.int32).tobytes()


def _overlap(one: str, other: str) -> bool:
    is_inside = one in other or other in one
    return is_inside or any(
        first.endswith(last[:length])
        for first, last in ((one, other), (other, one), (one, one))
        for length in range(1, min(len(first), len(last)))
    )
