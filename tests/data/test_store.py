"""What is put into the store comes out again."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from autotrain.data.batches import count
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


def test_rows_at_once_are_the_same_as_one_after_the_other():
    draw = np.random.default_rng(0)
    lengths = [1, 2, 300, *draw.integers(1, 50, 40)]
    ids = [draw.integers(0, 50_000, length).astype(np.int32) for length in lengths]
    trained = [draw.random(length) < 0.5 for length in lengths]
    origins = [Origin("b" if number % 7 else "a", 3 * number) for number in range(len(lengths))]
    pair = Example((segment([1, 2], [0, 0]), segment([3], [1], 0, 0), segment([4, 5], [1, 1], 0, 1)), num_sequences=2)
    with ExampleStore() as one, ExampleStore() as all_:
        for store in (one, all_):
            store.append(pair, Origin("c", 1))
        for row in zip(ids, trained, origins, strict=True):
            one.append(Example((Segment(row[0], row[1]),)), row[2])
        for some in (slice(0, 10), slice(10, None)):
            all_.append_rows(ids[some], trained[some], origins[some])
        assert all_.fingerprint == one.fingerprint
        assert all_.files == one.files
        assert all_.num_tokens.tolist() == one.num_tokens.tolist()
        assert all_.num_trained.tolist() == one.num_trained.tolist()
        assert all_.counts(range(len(all_))) == one.counts(range(len(one)))
        assert [str(all_.origin(index)) for index in range(len(all_))] == [
            str(one.origin(index)) for index in range(len(one))
        ]
        for index in range(len(one)):
            ours, theirs = all_[index], one[index]
            assert [(s.ids.tolist(), s.trained.tolist()) for s in ours.segments] == [
                (s.ids.tolist(), s.trained.tolist()) for s in theirs.segments
            ]


def test_a_row_without_tokens_is_refused_among_others():
    row, nothing = np.array([1, 2], np.int32), np.zeros(0, np.int32)
    with ExampleStore() as store, pytest.raises(ValueError, match="a:2: an example needs tokens"):
        store.append_rows([row, nothing], [row > 0, nothing > 0], [Origin("a", 1), Origin("a", 2)])


def filled(store):
    pair = Example(
        (segment([1, 2], [1, 1], None, 2), segment([3], [1], 0, 0), segment([4, 5], [1, 1], 0, 1)),
        num_sequences=3,
        margin=0.5,
    )
    for number in range(5):
        store.append(pair if number % 2 else Example((segment([7, 8, 9], [1, 0, 1]),), label=1.0), Origin("a", number + 1))
    return store


@pytest.mark.parametrize("indices", [range(5), [1, 3], [4, 1, 0], [2], []])
def test_counts_are_those_of_the_examples_themselves(indices):
    with filled(ExampleStore()) as store:
        assert store.counts(indices) == count([store[index] for index in indices])


def test_a_fingerprint_depends_on_every_token_mark_and_fact():
    def fingerprint(*examples):
        with ExampleStore() as store:
            for example in examples:
                store.append(example, Origin("a", 1))
            return store.fingerprint

    one = Example((segment([7, 8, 9], [1, 0, 1]),))
    others = [
        Example((segment([7, 8, 8], [1, 0, 1]),)),
        Example((segment([7, 8, 9], [1, 1, 1]),)),
        Example((segment([7, 8], [1, 0]), segment([9], [1], 0))),
        Example((segment([7, 8, 9], [1, 0, 1]),), margin=1.0),
        Example((segment([7, 8, 9], [1, 0, 1]),), label=1.0),
    ]
    assert fingerprint(one) == fingerprint(one)
    assert len({fingerprint(one), fingerprint(one, one), *map(fingerprint, others)}) == 7


def test_what_was_saved_is_read_again(tmp_path: Path):
    with filled(ExampleStore()) as store:
        sizes = store.save(tmp_path)
        assert {name: (tmp_path / name).stat().st_size for name in sizes} == sizes
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
        with ExampleStore(tmp_path, store.files, store.fingerprint) as again:
            assert len(again) == 5
            assert again.fingerprint == store.fingerprint
            assert again.num_tokens.tolist() == store.num_tokens.tolist() == [3, 5, 3, 5, 3]
            assert again.num_trained.tolist() == store.num_trained.tolist()
            assert str(again.origin(4)) == "a:5"
            for index in range(5):
                old, new = store[index], again[index]
                assert (old.num_sequences, old.margin, old.label) == (new.num_sequences, new.margin, new.label)
                for one, other in zip(old.segments, new.segments, strict=True):
                    assert (one.ids.tolist(), one.trained.tolist()) == (other.ids.tolist(), other.trained.tolist())
                    assert (one.parent, one.sequence) == (other.parent, other.sequence)
