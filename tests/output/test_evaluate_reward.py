"""What a reward model's scores are worth, in numbers worked by hand."""

import math

import numpy as np
import pytest
import torch

from autotrain.data.store import ExampleStore
from autotrain.models.precision import FP32
from autotrain.models.score import ScorePolicy
from autotrain.output.evaluate_reward import calibration_error, evaluate_reward, judge, pearson, spearman, wilson_interval
from autotrain.types import Example, Origin, Segment

approx = pytest.approx


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_accuracy_counts_ties_as_wrong_and_margins_are_meant():
    found = judge(array(2, 1, 0, 3), array(1, 1, 2, 0), np.array([5, 5, 5, 5]), np.array([5, 5, 5, 5]))
    assert found["pairs"] == 4
    assert found["accuracy"] == approx(2 / 4)
    assert found["margin"] == approx((1 + 0 - 2 + 3) / 4)
    assert found["longer_scored_higher"] is None  # all as long


def test_the_interval_is_wilsons():
    # 8 of 10: centre (0.8 + 3.8415/20) / (1 + 3.8415/10) = 0.7167; half 1.96 * sqrt(0.016 + 0.0096) / 1.3841 = 0.2266
    low, high = wilson_interval(8, 10)
    assert (low, high) == (approx(0.4902, abs=1e-4), approx(0.9433, abs=1e-4))
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert wilson_interval(5, 5)[1] == 1.0
    assert wilson_interval(130, 200)[0] > 0.5  # 65 % of 200 pairs lie above chance


def test_a_model_as_often_right_as_it_is_sure_is_calibrated():
    sure = math.log(0.8 / 0.2)  # sigmoid: 0.8
    assert calibration_error(array(*[sure] * 8, *[-sure] * 2)) == approx(0.0)
    assert calibration_error(array(*[sure] * 5, *[-sure] * 5)) == approx(0.3)  # right half the time
    assert calibration_error(array(*[50.0] * 5, *[-50.0] * 5)) == approx(0.5)
    assert calibration_error(array(0.0, 0.0)) == approx(0.0)  # it says that it doesn't know
    assert calibration_error(array()) is None


def test_correlations_equal_the_textbook():
    assert pearson(array(1, 2, 3), array(2, 4, 6)) == approx(1.0)
    assert pearson(array(1, 2, 3), array(1, 0, 1)) == approx(0.0)
    assert pearson(array(1, 1), array(1, 2)) is None
    assert spearman(array(1, 2, 3, 4), array(1, 8, 27, 1000)) == approx(1.0)  # ranks, not values
    assert spearman(array(1, 2, 2, 3), array(3, 2, 2, 1)) == approx(-1.0)  # ties share a rank


def test_a_model_that_likes_long_answers_is_found_out():
    lengths = np.array([10, 40, 20, 90]), np.array([30, 20, 80, 10])
    by_length = [length / 10 for length in lengths]
    found = judge(by_length[0], by_length[1], *lengths)
    assert found["length_correlation"] == {"pearson": approx(1.0), "spearman": approx(1.0)}
    assert found["longer_scored_higher"] == 1.0
    assert found["longer_is_chosen"] == 0.5


@pytest.mark.parametrize("token_budget", [10, 1000])
def test_a_store_is_scored_whatever_the_batches(token_budget: int):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_labels=1,
        pad_token_id=49,
    )  # fmt: skip
    policy = ScorePolicy(LlamaForSequenceClassification(config), FP32).train()
    with ExampleStore() as store:
        texts = []
        for start in (1, 8, 15):
            ids = np.arange(start, start + 11 + start, dtype=np.int32)
            parts = ids[:4], ids[4:6], ids[6:]
            segments = [Segment(parts[0], np.zeros(4, np.bool_))]
            segments += [Segment(p, np.ones(len(p), np.bool_), 0, index) for index, p in enumerate(parts[1:])]
            store.append(Example(tuple(segments), num_sequences=2), Origin("pairs.jsonl", start))
            texts += [np.concatenate([parts[0], part]) for part in parts[1:]]
        found = evaluate_reward(policy, store, token_budget)
    assert policy.training
    with torch.no_grad(), policy.stock_attention():
        scores = np.array([policy.model(input_ids=torch.tensor(text)[None].long()).logits.item() for text in texts])
    expected = judge(scores[0::2], scores[1::2], np.array([2, 2, 2]), np.array([6, 13, 20]))
    assert found["accuracy"] == expected["accuracy"] and found["pairs"] == 3
    assert found["margin"] == approx(expected["margin"], abs=1e-5)
    assert found["length_correlation"]["pearson"] == approx(expected["length_correlation"]["pearson"], abs=1e-4)
