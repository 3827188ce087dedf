"""Looked up many at once, words have the numbers that a dict gives them, and numbers the ids that words were given."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotrain.data.word_table import IdsOfWords, WordNumbers

# Words that begin alike, longer than what a slot holds, and the end of a part.
letters = st.sampled_from([97, 98, 0xC3, 0xFF])
words = st.lists(letters, min_size=1, max_size=20).map(bytes) | st.just(b"\0") | st.sampled_from([b"a" * 16, b"a" * 17])


def numbered(table, some):
    starts = np.cumsum([0, *map(len, some)], dtype=np.int64)[:-1]
    return table.look_up(b"".join(some), starts).tolist()


@pytest.mark.parametrize("slot_bits", [1, 3, 18])
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.lists(words, max_size=40), max_size=6))
def test_numbers_are_those_of_a_dict(slot_bits, texts, monkeypatch):
    monkeypatch.setattr("autotrain.data.word_table._SLOT_BITS", slot_bits)
    table, plain = WordNumbers(), {b"\0": 0}
    for text in texts:
        before = len(plain)
        assert numbered(table, text) == [plain.setdefault(word, len(plain)) for word in text]
        assert table.new() == list(plain)[before:]
        assert len(table) == len(plain)
    assert [table[number] for number in plain.values()] == list(plain)
    assert table.number(b"never met") == -1


def test_ids_of_words_come_one_after_the_other():
    ids = IdsOfWords()
    for some in ([[7, 8], []], [], [[9]] * 50):
        ids.append([np.array(one, np.int32).tobytes() for one in some])
    found, ends = ids.of(np.array([1, 3, 0, 2, 1, 52], np.int32))
    assert found.tolist() == [7, 8, 9, 7, 8, 9]
    assert ends.tolist() == [2, 3, 3, 3, 5, 6]
