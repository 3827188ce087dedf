"""Dropout without a stored mask: the same seed gives the same mask, and the masks look like chance."""

import pytest
import torch
from torch import Tensor

from autotrain.models.kernels import ops, plain
from autotrain.models.kernels.hashing import hashed, keys_of
from autotrain.models.kernels.interface import Kernels

COUNT = 1_000_000
CPU = torch.device("cpu")


def mask(seed: int, probability: float = 0.1, count: int = COUNT) -> Tensor:
    return plain.kept_mask(torch.Size((count,)), probability, keys_of(seed), CPU).double()


def test_the_same_seed_drops_the_same_elements_forward_and_backward():
    x, grad = torch.randn(7, 33) + 10, torch.randn(7, 33) + 10
    forward, backward = ops.dropout(x, 0.4, seed=12), ops.dropout(grad, 0.4, seed=12)
    assert torch.equal(forward == 0, backward == 0)
    assert torch.equal(forward[forward != 0], x[forward != 0] * (1 / 0.6))
    assert not torch.equal(forward == 0, ops.dropout(x, 0.4, seed=13) == 0)


def test_an_element_is_dropped_by_its_place_alone():
    x = torch.ones(4, 9)
    assert torch.equal(ops.dropout(x, 0.5, seed=1).flatten(), ops.dropout(x.flatten(), 0.5, seed=1))
    assert torch.equal(ops.dropout(x, 0.5, seed=1)[:2], ops.dropout(x[:2], 0.5, seed=1))
    assert torch.equal(ops.dropout(torch.ones(4, 20)[:, :9], 0.5, seed=1), ops.dropout(x, 0.5, seed=1))


def test_it_can_be_added_to_something():
    x, base = torch.randn(5, 8), torch.randn(5, 8)
    wanted = base + ops.dropout(x, 0.5, seed=3)
    assert ops.dropout(x, 0.5, seed=3, add_to=base) is base
    torch.testing.assert_close(base, wanted)


def test_nothing_is_dropped_with_probability_0():
    x = torch.randn(5, 8)
    assert torch.equal(ops.dropout(x, 0.0, seed=3), x)


@pytest.mark.parametrize("probability", [-0.1, 1.0, 2.0])
def test_a_probability_outside_0_to_1_is_refused(probability: float):
    with pytest.raises(ValueError, match="probability"):
        ops.dropout(torch.ones(3), probability, seed=0)


@pytest.mark.parametrize("shape", [(), (1,), (3, 5, 7), (2, 0)])
def test_any_shape(kernels: Kernels, shape: tuple[int, ...]):
    x = torch.ones(shape)
    assert torch.equal(ops.dropout(x, 0.5, seed=2), plain.dropout(x, 0.5, keys_of(2), None))
    turned = torch.ones(6, 4, 5).transpose(0, 1)
    assert torch.equal(ops.dropout(turned, 0.5, seed=2), plain.dropout(turned, 0.5, keys_of(2), None))


@pytest.mark.parametrize("probability", [0.05, 0.1, 0.5, 0.9])
def test_so_many_are_dropped_as_was_said(probability: float):
    deviation = (probability * (1 - probability) / COUNT) ** 0.5
    for seed in (0, 1, 2**40, 2**62 - 1):
        assert abs(1 - mask(seed, probability).mean() - probability) < 5 * deviation + 2**-17


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 16, 32, 576, 1536, 2048])
def test_neighbours_are_dropped_independently(distance: int):
    for seed in (0, 7):
        assert abs(correlation(mask(seed)[distance:], mask(seed)[:-distance])) < 5 / COUNT**0.5


@pytest.mark.parametrize("seeds", [(0, 1), (1, 2), (5, 2**32 + 5), (0, 2**61), (123, 124)])
def test_seeds_give_independent_masks_even_if_moved(seeds: tuple[int, int]):
    first, second = (mask(seed) for seed in seeds)
    for moved in (0, 1, 2, 64, 1001):
        assert abs(correlation(first[moved:], second[: COUNT - moved])) < 5 / COUNT**0.5


def test_rows_and_columns_of_a_mask_are_hit_evenly():
    dropped = 1 - mask(4).view(1000, 1000)
    # A sum of 1,000 with p = 0.1 has variance 90.
    for sums in (dropped.sum(0), dropped.sum(1)):
        assert sums.var().item() == pytest.approx(90, rel=0.25)
        assert (sums - 100).abs().max() < 5.5 * 90**0.5


def test_all_bits_of_the_hash_are_fair_and_change_with_any_bit_of_the_index():
    words = hashed(2**16, keys_of(9), CPU).long()
    bits = (words[:, None] >> torch.arange(32)) & 1
    assert ((bits.double().mean(0) - 0.5).abs() < 5 * 0.5 / 2**8).all()
    for bit in range(16):
        changed = bits ^ bits[torch.arange(2**16) ^ (1 << bit)]
        assert ((changed.double().mean(0) - 0.5).abs() < 0.02).all()


def test_the_numbers_are_fixed_for_good():
    # Checkpoints keep a seed, not a mask.
    assert (hashed(3, keys_of(1), CPU).long() % 2**32).tolist() == [2228150707, 1137358248, 877860916]


def correlation(one: Tensor, other: Tensor) -> float:
    return torch.corrcoef(torch.stack([one, other]))[0, 1].item()
