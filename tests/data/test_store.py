"""What is put into the store comes out again."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from autotrain.data.store import ExampleStore
from autotrain.types import Example, Origin, Segment


def segment(ids, trained, parent=None, sequence=0):
    return Segment(np.array(ids, np.int32), np.array(trained, np.bool_), parent, sequence)


def test_trees_come_out_as_they_went_in():
    pair = Example((segment([1, 2], [0, 0]), segment([3], [1], 0, 0), segment([4, 5], [1, 1], 0, 1)), num_sequences=2)
    with ExampleStore() as store:
        store.append(Example((segment([7, 8, 9], [1, 0, 1]),)), Origin("a", 1))
        assert store[0].segments[0].ids.tolist() == [7, 8, 9]
        store.append(pair, Origin("b", 9))
        out = store[1]
        assert [(s.ids.tolist(), s.trained.tolist(), s.parent, s.sequence) for s in out.segments] == [
            ([1, 2], [False, False], None, 0),
            ([3], [True], 0, 0),
            ([4, 5], [True, True], 0, 1),
        ]
        assert out.num_sequences == 2
        assert store.num_tokens.tolist() == [3, 5]
        assert store.num_trained.tolist() == [1, 3]  # of the first, token 0 has no predictor
        assert str(store.origin(1)) == "b:9"
        with pytest.raises(IndexError):
            store[2]


def test_files_have_no_name_so_that_a_killed_worker_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ExampleStore() as store:
        store.append(Example((segment([1, 2], [1, 1]),)), Origin("a", 1))
        assert store[0].num_tokens == 2
        assert list(tmp_path.iterdir()) == []


def test_an_example_without_tokens_is_refused():
    with ExampleStore() as store, pytest.raises(ValueError, match="a:1: an example needs segments"):
        store.append(Example((segment([], []),)), Origin("a", 1))
