"""Each kernel computes what its plain twin computes: values and gradients, both types, odd sizes, strided rows."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autotrain.models.fast.tiles import tiles_of
from autotrain.models.kernels import native, ops, plain, selftest
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


# (rows, width, rank): a single one of each, fewer than a vector, one more than whole ones, several sums of rows.
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 30, 3), (130, 49, 17), (801, 192, 48)])
@pytest.mark.parametrize("gap", [0, 5])
@pytest.mark.parametrize("matrix_dtype", TYPES)
@pytest.mark.parametrize("dtype", TYPES)
def test_lora(kernels: Kernels, sizes: tuple[int, int, int], gap: int, matrix_dtype: torch.dtype, dtype: torch.dtype):
    rows, width, rank = sizes
    wide, grad = (random(rows, width, dtype=dtype, seed=seed, gap=gap) for seed in (0, 1))
    narrow = random(rows, rank, dtype=dtype, seed=2, gap=gap)
    # As numbers in 16 bits, so that rounding isn't part of what is compared.
    exact_wide, exact_grad, exact_narrow = wide.double(), grad.double(), narrow.double()
    by_rows, by_columns = (random(*shape, dtype=matrix_dtype, seed=3) for shape in ((rank, width), (width, rank)))
    for matrix in (by_rows, by_columns.T):
        exact = matrix.to(dtype).double()
        made = native.lora_shrink(kernels, wide, matrix, 0.5)
        assert made.dtype == dtype and near(made, 0.5 * exact_wide @ exact.T, dtype)
        out = random(rows, width, dtype=dtype, seed=4, gap=gap)
        expected = out.double() + 0.5 * exact_narrow @ exact
        assert native.lora_expand_(kernels, out, narrow, matrix, 0.5) is out
        assert near(out, expected, dtype)
        by_narrow = random(rows, rank, dtype=dtype, seed=5, gap=gap)
        by_matrix = native.lora_backward(kernels, grad, narrow, matrix, 0.5, by_narrow)
        assert by_matrix.stride() == matrix.stride()
        assert near(by_narrow, 0.5 * exact_grad @ exact.T, dtype)
        assert near(by_matrix, 0.5 * exact_narrow.T @ exact_grad, torch.float32)  # float32 for bfloat16, too
        by_matrix = native.lora_backward(kernels, grad, narrow, matrix, 1.0, None)
        assert near(by_matrix, exact_narrow.T @ exact_grad, torch.float32)


def near(made: Tensor, exact: Tensor, dtype: torch.dtype) -> bool:
    """To the last place of `dtype`, of the largest number."""
    return selftest.agree(made.double(), exact, {torch.float32: 1e-6, torch.bfloat16: 2**-8}[dtype])


def test_lora_writes_nothing_beyond_its_columns(kernels: Kernels):
    place = torch.full((70, 60), 7.0)
    native.lora_expand_(kernels, place[:, 10:43], torch.ones(70, 3), torch.ones(3, 33), 1.0)
    assert (place[:, 10:43] == 10).all()
    native.lora_backward(kernels, torch.ones(70, 33), torch.ones(70, 3), torch.ones(3, 33), 1.0, place[:, 50:53])
    assert (place[:, 50:53] == 33).all()
    place[:, 10:43] = place[:, 50:53] = 7
    assert (place == 7).all()


def test_an_adapter_of_a_rank_that_is_not_narrow_is_left_to_the_library(kernels: Kernels):
    assert native.is_narrow(torch.ones(48, 9)) and native.is_narrow(torch.ones(9, 48).T)
    assert not native.is_narrow(torch.ones(49, 9)) and not native.is_narrow(torch.ones(8, 18)[:, ::2])
    assert not native.is_narrow(torch.ones(8, 9).half())
    wide, matrix = torch.randn(5, 9), torch.randn(49, 9)
    torch.testing.assert_close(ops.lora_shrink(wide, matrix, 2.0), 2 * wide @ matrix.T)


def test_lora_over_tensors_of_other_sizes_is_refused(kernels: Kernels):
    wide, narrow, matrix = torch.zeros(5, 20), torch.zeros(5, 3), torch.zeros(3, 20)
    with pytest.raises(ValueError, match="where"):
        native.lora_shrink(kernels, wide[:, 1:], matrix, 1.0)
    with pytest.raises(ValueError, match="where"):
        native.lora_expand_(kernels, wide, narrow[:, 1:], matrix, 1.0)
    with pytest.raises(ValueError, match="where"):
        native.lora_backward(kernels, wide, narrow, matrix, 1.0, narrow[:4])


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
            lambda: native.lora_shrink(kernels, x, other[:20], 1.0),
            lambda: native.lora_expand_(kernels, x.clone(), y[:, :20], other[:20], 1.0),
            lambda: native.lora_backward(kernels, grad, y[:, :20], other[:20], 1.0, x[:, :20].clone()),
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
    narrow, matrix = torch.tensor([[nan, 0.0], [1.0, 1.0]]), torch.tensor([[1.0, infinity], [1.0, 1.0]])
    assert native.lora_shrink(kernels, x[:, :2].float(), matrix, 1.0).isnan().all()
    grown = native.lora_expand_(kernels, torch.zeros(2, 2), narrow, matrix, 1.0)
    assert grown[0].isnan().all() and grown[1].tolist() == [2.0, infinity]
    by_matrix = native.lora_backward(kernels, torch.ones(2, 2), narrow, matrix, 1.0, None)
    assert by_matrix[0].isnan().all() and by_matrix[1].tolist() == [1.0, 1.0]
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
