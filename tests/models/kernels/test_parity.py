"""Each kernel computes what its plain twin computes: values and gradients, both types, odd sizes, strided rows."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from autotrain.models.kernels import native, plain, selftest
from autotrain.models.kernels.hashing import keys_of
from autotrain.models.kernels.interface import Kernels

TYPES = [torch.float32, torch.bfloat16]
# In bfloat16 a number may round to its neighbour, 2^-8 away, and then be multiplied and rounded once more.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-6}
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


def indices(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 37), (3, 2, 64, 200)])
@pytest.mark.parametrize("window", [None, 1, 20])
@pytest.mark.parametrize("offset", [0, 3, 136, 500])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("grad_dtype", TYPES)
def test_causal_softmax_and_its_gradient(kernels: Kernels, shape, window, offset, dtype, grad_dtype):
    scores, grad = (random(*shape, dtype=kind, seed=seed) * 4 for seed, kind in enumerate((dtype, grad_dtype)))
    offsets = indices(*range(offset, offset + shape[0]))
    lengths = indices(*(shape[2] - number for number in range(shape[0])))
    seen = (0.3, offsets, lengths, window)
    made = native.causal_softmax_(kernels, scores.clone(), *seen)
    assert_close(made, plain.causal_softmax_(scores, *seen))
    mine, theirs = grad.clone(), grad.clone()
    native.causal_softmax_backward_(kernels, made, mine, *seen)
    assert_close(mine, plain.causal_softmax_backward_(made, theirs, *seen))


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("width", [1, 64, 80])
@pytest.mark.parametrize("dtype", TYPES)
def test_rows_of_blocks_bit_for_bit(kernels: Kernels, heads: int, width: int, dtype: torch.dtype):
    x = random(40, heads * width, dtype=dtype, gap=3)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0)).to(torch.int32)
    rows = torch.full((3, 16), -1, dtype=torch.int32)
    rows[0], rows[1, :16], rows[2, :5] = order[:16], order[16:32], order[32:37]
    packed = native.gather_rows(kernels, x, rows, heads)
    assert torch.equal(packed, plain.gather_rows(x, rows, heads))
    mine, theirs = torch.zeros_like(x), torch.zeros_like(x)
    native.scatter_rows_(kernels, packed, rows, mine)
    assert torch.equal(mine, plain.scatter_rows_(packed, rows, theirs))
    assert torch.equal(mine[order[:37].long()], x[order[:37].long()]) and not mine[order[37:].long()].any()
    total = random(40, heads * width, dtype=torch.float32, seed=1)
    several = torch.where(rows < 0, rows, rows // 2)  # each token more than once
    assert_close(native.add_rows_(kernels, packed, several, total.clone()), plain.add_rows_(packed, several, total.clone()))


@pytest.mark.parametrize("dtype", TYPES)
def test_two_threads_give_the_same_bits(kernels: Kernels, two_threads: None, dtype: torch.dtype):
    def results() -> list[Tensor]:
        x, other, grad = (random(150, 576, dtype=dtype, seed=seed) for seed in range(3))
        weight, angles = random(576, dtype=dtype, seed=3), random(150, 64, dtype=dtype)
        y, rstd = native.rms_norm(kernels, x, weight, 1e-5, dtype)
        blocks = random(3, 3, 64, 192, dtype=dtype)
        seen = (0.1, indices(64, 0, 128), indices(64, 64, 10), None)
        rows = torch.arange(192, dtype=torch.int32).view(3, 64) % 150
        calls: list[Callable[[], Any]] = [
            lambda: native.rms_norm_backward(kernels, grad, x, weight, rstd, other, True),
            lambda: native.swiglu_backward(kernels, grad, x, other, None),
            lambda: native.rope_(kernels, x.clone(), 9, angles, angles, False),
            lambda: native.causal_softmax_(kernels, blocks.clone(), *seen),
            lambda: native.causal_softmax_backward_(kernels, blocks, blocks.clone(), *seen),
            lambda: native.gather_rows(kernels, x, rows, 9),
            lambda: native.add_rows_(kernels, native.gather_rows(kernels, x, rows, 9), rows, torch.zeros(150, 576)),
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


def test_what_is_not_seen_is_not_read(kernels: Kernels):
    scores = random(1, 1, 4, 6, dtype=torch.float32)
    seen = (1.0, indices(0), indices(3), None)
    wanted = native.causal_softmax_(kernels, scores.clone(), *seen)
    spoilt = scores.masked_fill(~plain.visible(scores, *seen[1:]), float("nan"))
    for softmax in (plain.causal_softmax_, lambda *rest: native.causal_softmax_(kernels, *rest)):
        assert_close(softmax(spoilt.clone(), *seen), wanted)


def test_nan_and_infinity_are_not_hidden(kernels: Kernels):
    nan, infinity = float("nan"), float("inf")
    scores = torch.tensor([[[[0.0, nan, 1.0], [0.0, -infinity, 1.0]]]])
    seen = (1.0, indices(2), indices(2), None)
    assert_close(native.causal_softmax_(kernels, scores.clone(), *seen), plain.causal_softmax_(scores.clone(), *seen))
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
