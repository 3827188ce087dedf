"""The plain twins agree with the formulas of torch and transformers, and their gradients with autograd's."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from autotrain.models.fast.tiles import tiles_of
from autotrain.models.kernels import plain
from autotrain.models.kernels.tiles import Heads
from autotrain.models.layout import Chain

TYPES = [torch.float32, torch.bfloat16]
# Where torch rounds each step to bfloat16, the twins round once, at the end.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2**-5}


def leaf(*shape: int, dtype: torch.dtype, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype).requires_grad_()


def assert_close(made: Tensor, wanted: Tensor | None) -> None:
    assert wanted is not None
    tolerance = TOLERANCE[wanted.dtype]
    torch.testing.assert_close(made.to(wanted.dtype), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("weight_dtype", TYPES)
def test_rms_norm_is_that_of_llama(dtype: torch.dtype, weight_dtype: torch.dtype):
    x, before = leaf(7, 48, dtype=dtype), leaf(7, 48, dtype=dtype, seed=1)
    norm = LlamaRMSNorm(48, eps=1e-5).to(weight_dtype)
    norm.weight.data = leaf(48, dtype=weight_dtype, seed=2).detach()
    total = x + before
    total.retain_grad()
    wanted = norm(total)
    grad, residual_grad = (leaf(7, 48, dtype=wanted.dtype, seed=seed).detach() for seed in (3, 4))
    torch.autograd.backward([wanted, total], [grad, residual_grad.to(dtype)])
    with torch.no_grad():
        made_total, y, rstd = plain.add_rms_norm(x, before, norm.weight, 1e-5, wanted.dtype)
        grad_x, grad_weight = plain.rms_norm_backward(grad, made_total, norm.weight, rstd, residual_grad.to(dtype), True)
    assert torch.equal(made_total, total)
    assert torch.equal(y, wanted)
    assert torch.equal(plain.rms_norm(total, norm.weight, 1e-5, wanted.dtype)[0], wanted)
    assert_close(grad_x, x.grad)
    assert grad_weight is not None
    assert_close(grad_weight, norm.weight.grad)


@pytest.mark.parametrize("is_turned", [False, True])
def test_the_products_of_lora_are_those_of_its_formula_and_their_gradients_autograds(is_turned: bool):
    x, grad, out = (leaf(7, width, dtype=torch.float32, seed=seed) for seed, width in enumerate((20, 30, 30)))
    down, up = (leaf(3, width, dtype=torch.float32, seed=seed) for seed, width in ((3, 20), (4, 30)))
    (out + 0.5 * x @ down.T @ up).backward(grad.detach())
    with torch.no_grad():
        mine, mine_down = (m.T.contiguous().T if is_turned else m.clone() for m in (up, down))
        inner = plain.lora_shrink(x, mine_down, 1.0)
        assert_close(plain.lora_shrink(x, mine_down, 0.5), 0.5 * x @ down.T)
        assert_close(plain.lora_expand_(out.clone(), inner, mine, 0.5), out + 0.5 * x @ down.T @ up)
        by_inner = torch.empty_like(inner)
        by_up = plain.lora_backward(grad, inner, mine, 0.5, by_inner)
        assert by_up.stride() == mine.stride()
        assert_close(by_up, up.grad)
        assert_close(plain.lora_expand_(torch.zeros_like(x), by_inner, mine_down, 1.0), x.grad)
        assert_close(plain.lora_backward(x, by_inner, mine_down, 1.0, None), down.grad)


@pytest.mark.parametrize("dtype", TYPES)
def test_swiglu_is_silu_of_the_gate_times_up(dtype: torch.dtype):
    gate, up = leaf(7, 48, dtype=dtype), leaf(7, 48, dtype=dtype, seed=1)
    wanted = functional.silu(gate) * up
    grad = leaf(7, 48, dtype=dtype, seed=2).detach()
    wanted.backward(grad)
    with torch.no_grad():
        assert_close(plain.swiglu(gate, up), wanted)
        merged = torch.empty(7, 96, dtype=dtype)
        grad_gate, grad_up, product = plain.swiglu_backward(grad, gate, up, (merged[:, :48], merged[:, 48:]))
    assert_close(grad_gate, gate.grad)
    assert_close(grad_up, up.grad)
    assert_close(product, wanted)
    assert torch.equal(merged, torch.cat([grad_gate, grad_up], dim=1))


@pytest.mark.parametrize("dtype", TYPES)
def test_rope_is_that_of_llama(dtype: torch.dtype):
    x = leaf(1, 3, 7, 16, dtype=dtype)  # (1, heads, N, D)
    cos, sin = leaf(1, 7, 16, dtype=dtype, seed=1).detach(), leaf(1, 7, 16, dtype=dtype, seed=2).detach()
    wanted, _ = apply_rotary_pos_emb(x, x, cos, sin)
    grad = leaf(1, 3, 7, 16, dtype=dtype, seed=3).detach()
    wanted.backward(grad)

    def turned(heads: Tensor, inverse: bool) -> Tensor:
        flat = heads.detach()[0].transpose(0, 1).reshape(7, 48)
        return plain.rope_(flat, 3, cos[0], sin[0], inverse).view(7, 3, 16).transpose(0, 1)[None]

    assert_close(turned(x, False), wanted)
    assert_close(turned(grad, True), x.grad)


@pytest.mark.parametrize("window", [None, 4])
def test_attention_is_that_of_torch(window: int | None):
    sizes = (4 * 8, 2 * 8, 2 * 6)
    query, key, value = (leaf(9, size, dtype=torch.float32, seed=seed) for seed, size in enumerate(sizes))
    given = ((query, 4), (key, 2), (value, 2))
    queries, keys, values = (one.unflatten(1, (number, -1)).transpose(0, 1) for one, number in given)
    distance = torch.arange(9)[:, None] - torch.arange(9)
    seen = (distance >= 0) & (distance < (window or 9))
    wanted = functional.scaled_dot_product_attention(
        queries[None], keys[None], values[None], attn_mask=seen, scale=0.3, enable_gqa=True
    )[0]
    wanted = wanted.transpose(0, 1).flatten(1)
    grad = leaf(9, 4 * 6, dtype=torch.float32, seed=3).detach()
    wanted.backward(grad)
    tiles, heads = tiles_of((Chain(0, 9),), window, 2), Heads(4, 2, 0.3, window)
    with torch.no_grad():
        out, sums = plain.attention(query, key, value, tiles, heads)
        made = plain.attention_backward(grad, query, key, value, out, sums, tiles, heads)
    assert_close(out, wanted)
    for one, leaf_of_it in zip(made, (query, key, value), strict=True):
        assert_close(one, leaf_of_it.grad)


@pytest.mark.parametrize("dtype", TYPES)
def test_log_prob_is_minus_the_cross_entropy(dtype: torch.dtype):
    logits, target = leaf(5, 31, dtype=dtype), torch.tensor([0, 3, 30, 7, 7])
    wanted = -functional.cross_entropy(logits.float(), target, reduction="none")
    wanted.sum().backward()
    with torch.no_grad():
        assert_close(plain.log_prob(logits, target), wanted)
        over = logits.clone()
        assert_close(plain.log_prob_and_gradient_(over, target), wanted)
    assert_close(over, logits.grad)


def test_a_hand_worked_attention():
    # Query 1 of two sees both keys: e^(ln 3) = 3 against 1, so three quarters of the first value.
    query, key, value = torch.ones(2, 1), torch.tensor([[3.0], [1.0]]).log(), torch.tensor([[4.0], [8.0]])
    out, sums = plain.attention(query, key, value, tiles_of((Chain(0, 2),), None, 1), Heads(1, 1, 1.0))
    torch.testing.assert_close(out, torch.tensor([[4.0], [5.0]]))
    torch.testing.assert_close(sums, torch.tensor([[3.0, 4.0]]).log2())
