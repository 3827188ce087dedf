"""Sums, lengths and log(1 - e^x), to the digit."""

import math

import pytest
import torch

from autotrain.objectives.sequences import log1mexp, pairs, sequence_lengths, sequence_means, sequence_sums
from autotrain.types import LogProbs

# Tokens of three sequences, mixed; the fourth has none.
MIXED = LogProbs(torch.tensor([-1.0, -2.0, -4.0, -8.0]), torch.tensor([2, 0, 2, 1]), 4)


def test_tokens_are_added_to_their_own_sequence():
    assert sequence_sums(MIXED).tolist() == [-2.0, -8.0, -5.0, 0.0]


def test_lengths_count_tokens_and_are_never_zero():
    assert sequence_lengths(MIXED).tolist() == [1.0, 1.0, 2.0, 1.0]
    assert sequence_means(MIXED).tolist() == [-2.0, -8.0, -2.5, 0.0]


def test_sums_are_float32_even_of_halves():
    halves = LogProbs(torch.tensor([-1.0, -2.0], dtype=torch.bfloat16), torch.tensor([0, 0]), 1)
    assert sequence_sums(halves).dtype == torch.float32


def test_pairs_lie_side_by_side_and_a_third_sequence_is_skipped():
    assert [one.tolist() for one in pairs(torch.arange(4.0))] == [[0.0, 2.0], [1.0, 3.0]]
    assert [one.tolist() for one in pairs(torch.arange(6.0), 3)] == [[0.0, 3.0], [1.0, 4.0]]


@pytest.mark.parametrize("value", [-50.0, -5.0, -0.7, -math.log(2), -0.69, -0.1, -1e-3, -1e-5])
def test_log_of_one_minus_e_to_the_x_is_exact_near_zero_and_far_from_it(value):
    exact = math.log(-math.expm1(value)) if value > -0.5 else math.log1p(-math.exp(value))
    assert log1mexp(torch.tensor(value)).item() == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, -1e-9, -1e4])
def test_its_value_and_gradient_are_finite_everywhere(value):
    given = torch.tensor(value, requires_grad=True)
    result = log1mexp(given)
    result.backward()
    assert math.isfinite(result.item()) and math.isfinite(given.grad.item())
