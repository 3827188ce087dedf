"""Decoder layers run as one function each give the numbers of the plain path: values and gradients, whole or adapted."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers import models as families

from autotrain.models.adapters import add_adapter
from autotrain.models.fast.switch import ALL, NONE
from autotrain.models.forward import Policy
from autotrain.models.precision import BF16, FP32, Precision
from autotrain.models.quantize import keep_plain_layout, quantization_config
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Batch, Span

SIZES = {
    "vocab_size": 211,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": None,
}
FAMILIES: dict[str, Callable[[], object]] = {
    "llama": lambda: families.LlamaConfig(**SIZES, attention_bias=True),
    "mistral with a window": lambda: families.MistralConfig(**SIZES, sliding_window=8),
    "qwen2": lambda: families.Qwen2Config(**SIZES),
    "qwen2 with windows": lambda: families.Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=8, max_window_layers=1
    ),
    "qwen3": lambda: families.Qwen3Config(**SIZES, head_dim=16),
}


def make_policy(family: str, fast: bool, *, lora: bool, dropout: float = 0.0, precision: Precision = FP32) -> Policy:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(FAMILIES[family]())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 or "bias" in name or "norm" in name:
                parameter.normal_(mean=1.0 if "norm" in name else 0.0, std=0.15)
    if not lora:
        return Policy(model, precision, fast=ALL if fast else NONE)
    model = model.to(precision.compute)
    adapted = add_adapter(model, LLMTrainingParams(peft=True, lora_r=4, lora_alpha=8, lora_dropout=dropout))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return Policy(adapted, precision, fast=ALL if fast else NONE)


def forest() -> Batch:
    """Two documents, one longer than a block of attention, and a prompt with two answers."""
    spans = (Span(0, 23), Span(23, 150), Span(173, 20), Span(193, 6, 2), Span(199, 9, 2))
    starts = (0, 0, 0, 20, 20)
    ids = torch.randint(211, (208,), generator=torch.Generator().manual_seed(2))
    positions = torch.cat([torch.arange(s, s + span.length) for s, span in zip(starts, spans, strict=True)])
    before = [-1, -1, -1, 192, 192]
    source = [
        [first if token == span.start else token - 1 for token in range(span.start, span.start + span.length)]
        for span, first in zip(spans, before, strict=True)
    ]
    targets = [torch.arange(span.start, span.start + span.length) for span in spans]
    pairs = [(s, t) for row, column in zip(source, targets, strict=True) for s, t in zip(row, column.tolist(), strict=True)]
    kept = [(s, t) for s, t in pairs if s >= 0]
    sources, tokens = torch.tensor(kept).T
    return Batch(ids, positions, spans, sources, ids[tokens], torch.zeros_like(sources), torch.tensor([207]), 1)


def answer(policy: Policy) -> tuple[Tensor, dict[str, Tensor]]:
    policy.train()
    per_token = policy(forest()).per_token
    (per_token * torch.linspace(0.5, 1.5, len(per_token))).sum().backward()
    return per_token.detach(), {n: p.grad for n, p in policy.named_parameters() if p.grad is not None}


def assert_same(fast: tuple[Tensor, dict[str, Tensor]], plain: tuple[Tensor, dict[str, Tensor]], tolerance: float) -> None:
    assert (fast[0] - plain[0]).abs().max() <= tolerance * plain[0].abs().max()
    assert fast[1].keys() == plain[1].keys()
    for name, expected in plain[1].items():
        error = (fast[1][name].float() - expected.float()).norm() / expected.float().norm()
        assert error <= tolerance, f"{name}: {error:.1e}"


@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_numbers_are_those_of_the_plain_path(family: str, lora: bool):
    fast, plain = make_policy(family, True, lora=lora), make_policy(family, False, lora=lora)
    assert fast.fast_layers and not plain.fast_layers
    assert_same(answer(fast), answer(plain), 2e-5)


@pytest.mark.parametrize("lora", [True, False], ids=["lora", "full"])
def test_in_bf16_they_are_the_same_to_its_rounding(lora: bool):
    fast = make_policy("llama", True, lora=lora, precision=BF16)
    exact = answer(make_policy("llama", False, lora=lora))
    plain = answer(make_policy("llama", False, lora=lora, precision=BF16))
    assert fast.fast_layers
    # No further from float32 than what bf16 costs the plain path, and half as much again.
    assert distance(answer(fast)[0], exact[0]) <= 1.5 * distance(plain[0], exact[0])


def distance(values: Tensor, expected: Tensor) -> float:
    return float((values - expected).norm())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_computing_layers_again_changes_no_bit(dropout: float):
    answers = []
    for num_checkpointed in (0, 2):
        policy = make_policy("qwen3", True, lora=True, dropout=dropout)
        policy.checkpoint_layers(num_checkpointed)
        torch.manual_seed(5)
        answers.append(answer(policy))
    assert torch.equal(answers[0][0], answers[1][0])
    assert all(torch.equal(answers[0][1][name], answers[1][1][name]) for name in answers[0][1])


def test_dropout_follows_the_random_state_and_is_off_in_evaluation():
    policy = make_policy("llama", True, lora=True, dropout=0.5)
    policy.train()
    torch.manual_seed(1)
    first, second = policy(forest()).per_token, policy(forest()).per_token
    torch.manual_seed(1)
    assert torch.equal(policy(forest()).per_token, first) and not torch.equal(first, second)
    policy.eval()
    assert torch.equal(policy(forest()).per_token, policy(forest()).per_token)


def test_without_the_adapter_it_is_the_base():
    fast, plain = make_policy("llama", True, lora=True), make_policy("llama", False, lora=True)
    with torch.no_grad(), fast.without_adapter(), plain.without_adapter():
        expected = plain(forest()).per_token
        torch.testing.assert_close(fast(forest()).per_token, expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        assert not torch.allclose(fast(forest()).per_token, expected, atol=1e-2)


def test_a_layer_that_it_cannot_compute_leaves_the_plain_path():
    model = AutoModelForCausalLM.from_config(families.LlamaConfig(**SIZES, hidden_act="gelu"))
    assert not Policy(model, FP32, fast=ALL).fast_layers
    model = AutoModelForCausalLM.from_config(families.LlamaConfig(**SIZES))
    dora = add_adapter(model, LLMTrainingParams(peft=True, lora_r=4, use_dora=True))
    assert not Policy(dora, FP32, fast=ALL).fast_layers


def test_the_gradient_of_dropout_is_that_of_its_mask():
    """Finite differences through the adapter's dropout: the mask of the backward pass is that of the forward pass."""
    policy = make_policy("llama", True, lora=True, dropout=0.4)
    policy.train()
    weight = dict(policy.named_parameters())["model.base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"]

    def loss() -> Tensor:
        torch.manual_seed(3)
        return policy(forest()).per_token.double().sum()

    loss().backward()
    assert weight.grad is not None
    direction, step = weight.grad / weight.grad.norm(), 1e-2
    with torch.no_grad():
        weight.add_(direction, alpha=step)
        above = loss()
        weight.add_(direction, alpha=-2 * step)
        slope = (above - loss()) / (2 * step)
    assert float(slope) == pytest.approx(float(weight.grad.norm()), rel=1e-2)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_a_base_in_4_bits_gives_the_numbers_of_the_plain_path(tmp_path: Path):
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(
        families.LlamaConfig(**{**SIZES, "hidden_size": 64, "intermediate_size": 128})
    ).save_pretrained(tmp_path)
    answers = []
    for fast in (ALL, NONE):
        config = quantization_config("int4", torch.float32)
        model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=config, dtype=torch.float32)
        keep_plain_layout(model)
        torch.manual_seed(1)
        adapted = add_adapter(model, LLMTrainingParams(peft=True, lora_r=4, lora_dropout=0.0), fast=fast)
        policy = Policy(adapted, FP32, fast=fast)
        assert policy.fast_layers == (fast is ALL)
        answers.append(answer(policy))
    assert_same(*answers, 1e-4)
