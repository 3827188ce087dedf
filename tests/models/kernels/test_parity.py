"""Each kernel computes what its plain twin computes: values and gradients, both types, odd sizes, strided rows."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autotrain.models.fast.tiles import tiles_of
from autotrain.models.kernels import native, plain, selftest
from autotrain.models.kernels.hashing import keys_of
from autotrain.models.kernels.interface import Kernels
from autotrain.models.kernels.tiles import Heads, Tiles
from autotrain.models.layout import make_layout
from autotrain.types import Span

TYPES = [torch.float32, torch.bfloat16]
# In bfloat16 a number may round to its neighbour, 2^-8 away, and then be multiplied and rounded once more.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-6}
# Of the largest number: a sum over keys of both signs may be small itself.
ATTENTION_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-7}
# (rows, columns): less than a vector, one more than a vector, a model's own.
SIZES = [(1, 2), (3, 34), (37, 130), (70, 576)]


def random(*shape: int, dtype: torch.dtype, seed: int = 0, gap: int = 0) -> Tensor:
    """Normal numbers.  gap: elements between the rows that belong to nobody."""
    wide = torch.randn(*shape[:-1], shape[-1] + gap, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return wide[..., : shape[-1]]


def assert_close(made: Any, wanted: Any) -> None:
    for one, other in zip(selftest.tensors_of(made), selftest.tensors_of(wanted), strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=TOLERANCE[one.dtype], atol=TOLERANCE[one.dtype] / 4, equal_nan=True)
        if one.dtype == torch.bfloat16:
            assert (one == other).float().mean() > 0.95


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize("dtype", TYPES)
class TestRows:
    @pytest.mark.parametrize("weight_dtype", TYPES)
    @pytest.mark.parametrize("out_dtype", TYPES)
    def test_rms_norm(self, kernels: Kernels, size, gap, dtype, weight_dtype, out_dtype):
        x, delta = (random(*size, dtype=dtype, seed=seed, gap=gap) for seed in (0, 1))
        weight = random(size[1], dtype=weight_dtype, seed=2)
        arguments = (x, weight, 1e-5, out_dtype)
        assert_close(native.rms_norm(kernels, *arguments), plain.rms_norm(*arguments))
        arguments = (x, delta, weight, 1e-5, out_dtype)
        assert_close(native.add_rms_norm(kernels, *arguments), plain.add_rms_norm(*arguments))

    @pytest.mark.parametrize("grad_dtype", TYPES)
    @pytest.mark.parametrize("has_residual", [False, True])
    def test_rms_norm_backward(self, kernels: Kernels, size, gap, dtype, grad_dtype, has_residual):
        x, residual = (random(*size, dtype=dtype, seed=seed, gap=gap) for seed in (0, 1))
        grad, weight = random(*size, dtype=grad_dtype, seed=2, gap=gap), random(size[1], dtype=dtype, seed=3)
        rstd = plain.rms_norm(x, weight, 1e-5, dtype)[1]
        arguments = (grad, x, weight, rstd, residual if has_residual else None, True)
        assert_close(native.rms_norm_backward(kernels, *arguments), plain.rms_norm_backward(*arguments))

    def test_swiglu_and_its_gradients(self, kernels: Kernels, size, gap, dtype):
        gate, up, grad = (random(*size, dtype=dtype, seed=seed, gap=gap) for seed in range(3))
        assert_close(native.swiglu(kernels, 4 * gate, up), plain.swiglu(4 * gate, up))
        made = native.swiglu_backward(kernels, grad, gate, up, None)
        wanted = plain.swiglu_backward(grad, gate, up, None)
        assert_close(made, wanted)
        over = gate.clone(), up.clone()
        assert_close(plain.swiglu_backward(grad, *over, over), wanted)  # over its own arguments
        native.swiglu_backward(kernels, grad, gate, up, (gate, up))
        assert_close((gate, up), wanted[:2])

    @pytest.mark.parametrize("angle_dtype", TYPES)
    @pytest.mark.parametrize("inverse", [False, True])
    def test_rope(self, kernels: Kernels, size, gap, dtype, angle_dtype, inverse):
        num_rows, head_size = size
        x = random(num_rows, 3 * head_size, dtype=dtype, gap=gap)
        cos, sin = (random(*size, dtype=angle_dtype, seed=seed) for seed in (1, 2))
        wanted = plain.rope_(x.clone(), 3, cos, sin, inverse)
        assert native.rope_(kernels, x, 3, cos, sin, inverse) is x
        assert_close(x, wanted)

    def test_dropout_bit_for_bit(self, kernels: Kernels, size, gap, dtype):
        x, base = (random(*size, dtype=dtype, seed=seed, gap=gap) for seed in (0, 1))
        for scaled in (x, x[:, 1:]):
            arguments = (scaled, 0.3, keys_of(5), None)
            assert torch.equal(native.dropout(kernels, *arguments), plain.dropout(*arguments))
        wanted = plain.dropout(x, 0.3, keys_of(5), base.clone())
        assert torch.equal(native.dropout(kernels, x, 0.3, keys_of(5), base), wanted)

    def test_log_prob(self, kernels: Kernels, size, gap, dtype):
        logits = random(*size, dtype=dtype, gap=gap) * 5
        target = torch.arange(size[0]) % size[1]
        before = logits.clone()
        assert_close(native.log_prob(kernels, logits, target), plain.log_prob(logits, target))
        assert torch.equal(logits, before)
        wanted = plain.log_prob_and_gradient_(before, target)
        assert_close(native.log_prob_and_gradient_(kernels, logits, target), wanted)
        assert_close(logits, before)


def forest(num_heads: int) -> Tiles:
    return tiles_of(make_layout((Span(0, 90), Span(90, 30, 0), Span(120, 80, 0), Span(200, 70))).chains, None, num_heads)


@pytest.mark.parametrize("heads", [Heads(1, 1, 1.0), Heads(6, 2, 0.2), Heads(6, 2, 0.2, 50)])
@pytest.mark.parametrize("sizes", [(1, 1), (20, 36), (64, 64)])
@pytest.mark.parametrize("dtype", TYPES)
def test_attention_and_its_gradients(kernels: Kernels, heads: Heads, sizes: tuple[int, int], dtype: torch.dtype):
    query, grad = (random(270, heads.num_queries * one, dtype=dtype, gap=3) for one in sizes)
    key, value = (random(270, heads.num_keys * one, dtype=dtype, gap=5, seed=1) for one in sizes)
    tiles = forest(heads.num_keys)
    out, sums = plain.attention(query, key, value, tiles, heads)
    made, made_sums = native.attention(kernels, query, key, value, tiles, heads)
    assert selftest.agree(made, out, ATTENTION_TOLERANCE[dtype])
    torch.testing.assert_close(made_sums, sums, rtol=1e-5, atol=1e-5)
    arguments = (grad, query, key, value, out, sums, tiles, heads)
    for one, other in zip(native.attention_backward(kernels, *arguments), plain.attention_backward(*arguments), strict=True):
        assert selftest.agree(one, other, ATTENTION_TOLERANCE[dtype])


def test_attention_over_tensors_of_other_sizes_is_refused(kernels: Kernels):
    heads, tiles, rows = Heads(6, 2, 1.0), forest(2), torch.zeros(270, 96)
    key = rows[:, :32]
    with pytest.raises(ValueError, match="where"):
        native.attention(kernels, rows, rows, key, tiles, heads)
    with pytest.raises(ValueError, match="269 tokens, and blocks of 270"):
        native.attention(kernels, rows[:269], key[:269], key[:269], tiles, heads)


@pytest.mark.parametrize("dtype", TYPES)
def test_two_threads_give_the_same_bits(kernels: Kernels, two_threads: None, dtype: torch.dtype):
    def results() -> list[Tensor]:
        x, other, grad = (random(150, 576, dtype=dtype, seed=seed) for seed in range(3))
        weight, angles = random(576, dtype=dtype, seed=3), random(150, 64, dtype=dtype)
        y, rstd = native.rms_norm(kernels, x, weight, 1e-5, dtype)
        calls: list[Callable[[], Any]] = [
            lambda: native.rms_norm_backward(kernels, grad, x, weight, rstd, other, True),
            lambda: native.swiglu_backward(kernels, grad, x, other, None),
            lambda: native.rope_(kernels, x.clone(), 9, angles, angles, False),
            lambda: native.log_prob_and_gradient_(kernels, x.clone(), torch.arange(150)),
            lambda: native.dropout(kernels, x, 0.1, keys_of(3), None),
            lambda: native.dropout(kernels, x[:, 1:], 0.1, keys_of(3), None),
        ]
        return [y, rstd, *(tensor for call in calls for tensor in selftest.tensors_of(call()))]

    with_two = results()
    torch.set_num_threads(1)
    assert all(torch.equal(one, other) for one, other in zip(with_two, results(), strict=True))


def test_exponentials_are_right_to_a_few_units_in_the_last_place(kernels: Kernels):
    gate = torch.linspace(-80, 80, 200_001)[None]
    exact = gate.double() * torch.sigmoid(gate.double())
    made = native.swiglu(kernels, gate, torch.ones_like(gate)).double()
    assert ((made - exact).abs() / exact.abs().clamp(min=1e-30)).max() < 6 * 2**-24


def test_log_probs_over_a_whole_vocabulary_are_right_to_float32(kernels: Kernels):
    logits = random(3, 49_152, dtype=torch.float32) * 4
    target = torch.tensor([0, 77, 49_151])
    exact = logits.double().log_softmax(-1)
    made = native.log_prob_and_gradient_(kernels, logits, target)
    assert (made - exact[torch.arange(3), target]).abs().max() < 1e-6 * exact.abs().max()
    gradient = -exact.exp()
    gradient[torch.arange(3), target] += 1
    assert (logits - gradient).abs().max() < 1e-6


def test_nan_and_infinity_are_not_hidden(kernels: Kernels):
    nan, infinity = float("nan"), float("inf")
    x = torch.tensor([[1.0, nan, infinity]]).bfloat16()
    assert native.swiglu(kernels, x, torch.ones_like(x)).isnan().tolist() == [[False, True, False]]
    assert native.rms_norm(kernels, x, torch.ones(3), 1e-5, torch.bfloat16)[0].isnan().all()
    assert native.log_prob(kernels, x, torch.tensor([0])).isnan().all()
    dropped = native.dropout(kernels, torch.full((1, 64), nan), 0.5, keys_of(1), None)
    assert 0 < dropped.isnan().sum() < 64


def test_a_kernel_never_reads_past_the_end(kernels: Kernels):
    x, short = torch.ones(4, 8), torch.ones(4, 6)
    with pytest.raises(ValueError, match=r"shape \(4, 6\) where \(4, 8\)"):
        native.swiglu(kernels, x, short)
    with pytest.raises(ValueError, match="shape"):
        native.rms_norm(kernels, x, short[0], 1e-5, torch.float32)
    with pytest.raises(ValueError, match="shape"):
        native.rope_(kernels, torch.ones(4, 9), 1, torch.ones(4, 9), torch.ones(4, 9), False)
    assert native.log_prob(kernels, x, torch.tensor([0, -1, 8, 7])).isnan().tolist() == [False, True, True, False]
