"""Words get numbers, and numbers get token ids, many at once.

A number is found by comparing all bytes of a word, never a hash alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import count, islice

import numpy as np

_SLOT_BITS = 18
_SLOT_FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
# By the length of a word, up to 16 bytes: which bits of its first and of its second eight bytes are its own.
_LENGTHS = range(17)
_FIRST_BITS = np.array([(1 << 8 * min(length, 8)) - 1 for length in _LENGTHS], np.uint64)
_SECOND_BITS = np.array([(1 << 8 * max(length - 8, 0)) - 1 for length in _LENGTHS], np.uint64)


class WordNumbers:
    """The words met so far, numbered in the order in which they were met; number 0 is the byte 0 by itself.

    Short words are mostly found in a table of slots, each with the last word that was looked up there; others in a dict.
    """

    def __init__(self) -> None:
        self._words = [b"\0"]
        self._numbers = defaultdict[bytes, int](count(1).__next__, {b"\0": 0})
        self._first, self._second = np.zeros((2, 1 << _SLOT_BITS), np.uint64)
        self._slot_numbers = np.zeros(1 << _SLOT_BITS, np.int32)

    def look_up(self, raw: bytes, starts: np.ndarray) -> np.ndarray:
        """The numbers of the words of a text; new ones are numbered.

        starts: (words,) int64, where in `raw` each begins; it ends where the next one begins, the last with the text.
        No word but number 0 has a byte 0.  Returns (words,) int32.
        """
        lengths = np.diff(starts, append=len(raw))
        eight_bytes = np.ndarray(len(raw) + 9, "<u8", raw + bytes(16), strides=(1,))  # those from each byte on
        covered = np.minimum(lengths, 16)
        first = eight_bytes[starts] & _FIRST_BITS[covered]
        second = eight_bytes[starts + 8] & _SECOND_BITS[covered]
        slots = ((first * _SLOT_FACTORS[0] ^ second * _SLOT_FACTORS[1]) >> np.uint64(64 - _SLOT_BITS)).view(np.int64)
        numbers = self._slot_numbers[slots]
        is_found = (self._first[slots] == first) & (self._second[slots] == second) & (lengths <= 16)
        missed = np.flatnonzero(~is_found)
        begins = starts[missed]
        pairs = zip(begins.tolist(), (begins + lengths[missed]).tolist(), strict=True)
        numbers[missed] = [self._numbers[raw[start:end]] for start, end in pairs]
        short = missed[lengths[missed] <= 16]
        self._first[slots[short]], self._second[slots[short]] = first[short], second[short]
        self._slot_numbers[slots[short]] = numbers[short]
        return numbers

    def new(self) -> list[bytes]:
        """The words that were numbered since this was asked last."""
        words = list(islice(reversed(self._numbers), len(self._numbers) - len(self._words)))[::-1]
        self._words += words
        return words

    def number(self, word: bytes) -> int:
        """Of a word, -1 if it was never met."""
        return self._numbers.get(word, -1)

    def __getitem__(self, number: int) -> bytes:
        return self._words[number]

    def __len__(self) -> int:
        return len(self._numbers)


class IdsOfWords:
    """The token ids of words, by number."""

    def __init__(self) -> None:
        self.num_words = 1  # number 0 has no ids
        self._ids = np.zeros(0, np.int32)
        self._ends = np.zeros(2, np.int64)  # of the ids of each word; before the first is 0

    def append(self, ids: Sequence[bytes]) -> None:
        """The ids of the next words, each as the bytes of an array of int32."""
        ends = self._ends[self.num_words] + np.cumsum([len(one) // 4 for one in ids], dtype=np.int64)
        if not len(ends):
            return
        num_ids, num_words = int(self._ends[self.num_words]), self.num_words
        self._ids = _with_room(self._ids, int(ends[-1]))
        self._ids[num_ids : ends[-1]] = np.frombuffer(b"".join(ids), np.int32)
        self._ends = _with_room(self._ends, num_words + len(ends) + 1)
        self._ends[num_words + 1 : num_words + 1 + len(ends)] = ends
        self.num_words += len(ends)

    def of(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of words one after the other: (ids,) int32, and (words,) int64 where the ids of each end."""
        starts = self._ends[numbers]
        counts = self._ends[1:][numbers] - starts
        ends = np.cumsum(counts)
        places = np.repeat(starts - (ends - counts), counts)
        places += np.arange(len(places))
        return self._ids[places], ends


def _with_room(array: np.ndarray, length: int) -> np.ndarray:
    """The array, made longer if it is shorter than that: then twice as long at least, so that it seldom is."""
    if len(array) >= length:
        return array
    return np.concatenate([array, np.zeros(max(length, 2 * len(array)) - len(array), array.dtype)])
