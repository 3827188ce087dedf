"""The order depends on seed and epoch only; a step may be cut anywhere; a batch is a forest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotrain.data.batches import Batches, _fill, collate, count, cut, make_batches
from autotrain.data.lengths import Lengths
from autotrain.data.store import ExampleStore
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Example, Origin, Segment, Span


def segment(ids, trained, parent=None, sequence=0):
    return Segment(np.array(ids, np.int32), np.array(trained, np.bool_), parent, sequence)


def flat(lists):
    return [index for one in lists for index in one]


@pytest.fixture
def store():
    with ExampleStore() as store:
        for number in range(7):
            store.append(Example((segment(range(number + 2), [1] * (number + 2)),)), Origin("a", number + 1))
        yield store


def test_each_epoch_is_a_permutation_and_the_last_partial_step_is_kept(store):
    batches = Batches(store, units=[[i] for i in range(7)], units_per_step=3, epochs=2, seed=1)
    assert (batches.num_units, batches.steps_per_epoch, batches.total_steps) == (7, 3, 6)
    epochs = [[batches.step(step) for step in range(first, first + 3)] for first in (0, 3)]
    assert [[len(step) for step in steps] for steps in epochs] == [[3, 3, 1]] * 2
    assert all(sorted(flat(steps)) == list(range(7)) for steps in epochs)
    assert epochs[0] != epochs[1]


def test_order_depends_on_seed_and_epoch_only(store):
    def steps(seed, order):
        batches = Batches(store, units=[[i] for i in range(7)], units_per_step=2, epochs=3, seed=seed)
        return {step: batches.step(step) for step in order}

    assert steps(1, range(12)) == steps(1, reversed(range(12)))
    assert steps(1, range(12)) != steps(2, range(12))


def test_a_step_has_batch_size_times_accumulation_rows_per_device(store):
    lengths = Lengths(16, (16,), 2048)
    params = LLMTrainingParams(trainer="sft", batch_size=1, gradient_accumulation=2)
    assert make_batches(store, params, lengths).steps_per_epoch == 4
    assert make_batches(store, params, lengths, num_devices=2).steps_per_epoch == 2


def test_packing_makes_blocks_the_units(store):
    params = LLMTrainingParams(trainer="sft", batch_size=1, gradient_accumulation=1, packing=True)
    batches = make_batches(store, params, Lengths(10, (10,), 2048))
    # 2+3+4+5+6+7+8 = 35 tokens in blocks of 10: four, 8+2, 7+3, 6+4 and 5
    assert batches.num_units == 4
    assert sorted(flat(batches.step(step) for step in range(4))) == list(range(7))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 80))
def test_cutting_keeps_all_examples_within_the_budget(num_tokens, budget):
    indices = list(range(len(num_tokens)))
    pieces = cut(indices, num_tokens, budget)
    assert sorted(flat(pieces)) == indices
    assert all(len(piece) == 1 or sum(num_tokens[i] for i in piece) <= budget for piece in pieces)
    assert pieces == cut(indices[::-1], num_tokens, budget)


def test_collate_lays_rows_side_by_side():
    batch = collate([Example((segment([5, 6, 7], [1, 0, 1]),)), Example((segment([8, 9], [0, 1]),))])
    assert batch.input_ids.tolist() == [5, 6, 7, 8, 9]
    assert batch.position_ids.tolist() == [0, 1, 2, 0, 1]
    assert batch.spans == (Span(0, 3), Span(3, 2))
    # Token 7 is predicted at 6 (index 1), token 9 at 8 (index 3); nothing predicts the first 5.
    assert (batch.source.tolist(), batch.target.tolist(), batch.sequence.tolist()) == ([1, 3], [7, 9], [0, 1])
    assert batch.sequence_end.tolist() == [2, 4]
    assert (batch.num_examples, batch.num_sequences) == (2, 2)


def test_both_branches_of_a_tree_are_predicted_from_the_prompts_last_token():
    pair = Example((segment([1, 2], [0, 0]), segment([3, 4], [1, 1], 0, 0), segment([5], [1], 0, 1)), num_sequences=2)
    batch = collate([Example((segment([9, 9], [0, 1]),)), pair])
    assert batch.position_ids.tolist() == [0, 1, 0, 1, 2, 3, 2]
    assert batch.spans == (Span(0, 2), Span(2, 2), Span(4, 2, 1), Span(6, 1, 1))
    # Index 3 holds the prompt's last token: it predicts 3 and 5.
    assert batch.source.tolist() == [0, 3, 4, 3]
    assert batch.target.tolist() == [9, 3, 4, 5]
    assert batch.sequence.tolist() == [0, 1, 1, 2]
    assert batch.sequence_end.tolist() == [1, 5, 6]


def test_counts_are_the_predictions_of_the_batch():
    examples = [Example((segment([5, 6, 7], [1, 1, 1]),)), Example((segment([1], [1]), segment([2], [1], 0)))]
    counts = count(examples)
    assert (counts.tokens, counts.sequences, counts.examples) == (3, 2, 2)
    assert counts.tokens == len(collate(examples).target)


def test_tokens_are_counted_by_the_answer_that_they_belong_to():
    """A prompt of 3, of which nothing predicts the first; answers of 2 and 1; the prompt is its own, third sequence."""
    pair = Example(
        (
            segment([1, 2, 3], [1, 1, 1], sequence=2),
            segment([4, 5], [1, 1], parent=0),
            segment([6], [1], parent=0, sequence=1),
        ),
        num_sequences=3,
    )
    assert count([pair, pair]).tokens_by_sequence == (4, 2, 4)
    assert count([pair]).tokens == 5 == len(collate([pair]).target)
    assert collate([pair]).sequence.tolist() == [2, 2, 0, 0, 1]
    assert count([]).tokens_by_sequence == ()


def test_micro_batches_are_about_equally_large():
    assert cut(range(4), [400, 322, 282, 198], 1024) == [[0, 1], [2, 3]]  # and not 1,004 tokens, then 198
    assert cut(range(4), [400, 322, 282, 198], 2048) == [[0, 1, 2, 3]]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=40), st.integers(1, 300))
def test_balancing_needs_no_more_micro_batches_and_loses_no_example(lengths: list[int], budget: int):
    pieces = cut(range(len(lengths)), lengths, budget)
    assert sorted(index for piece in pieces for index in piece) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in piece) <= budget or len(piece) == 1 for piece in pieces)
    assert len(pieces) == len(_fill(sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)), lengths, budget))
