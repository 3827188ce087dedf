"""The self-test tells which models can take the flat layout, and leaves no trace."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    FalconConfig,
    GPT2Config,
    Llama4TextConfig,
    MistralConfig,
    MptConfig,
    Phi3Config,
)

from autotrain.models.attention import FOREST
from autotrain.models.fast.body import FastBody
from autotrain.models.fast.switch import ALL
from autotrain.models.forward import Policy
from autotrain.models.precision import BF16, FP32, Precision

SMALL = {"vocab_size": 211, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "pad_token_id": None}


def test_llama_is_flat_with_a_fused_head(tiny_llama, notices):
    verdict = Policy(tiny_llama(), FP32).verdict
    assert (verdict.layout, verdict.fused_head, verdict.reason) == ("flat", True, "")
    assert verdict.hidden_error < 1e-5 and verdict.head_error < 1e-5
    assert notices == []


def test_layers_of_ours_are_taken_only_if_they_compute_what_the_model_does(tiny_llama, monkeypatch):
    assert Policy(tiny_llama(), FP32, fast=ALL).verdict.way == "layers"
    right = FastBody.hidden
    monkeypatch.setattr(FastBody, "hidden", lambda self, *batch: 1.001 * right(self, *batch))
    policy = Policy(tiny_llama(), FP32, fast=ALL)
    assert policy.verdict.way == "attention" and not policy.fast_layers


def test_attention_of_ours_is_taken_only_if_it_computes_what_the_model_does(tiny_llama, monkeypatch):
    only_attention = replace(ALL, layer=False)
    assert Policy(tiny_llama(), FP32, fast=only_attention).verdict.way == "attention"
    assert Policy(tiny_llama().bfloat16(), BF16, fast=only_attention).verdict.way == "attention"
    monkeypatch.setattr("autotrain.models.attention._by_kernel", lambda query, *_: query.transpose(1, 2))
    assert Policy(tiny_llama(), FP32, fast=only_attention).verdict.way == "plain"


@pytest.mark.parametrize(("precision", "way"), [(BF16, "layers"), (FP32, "attention")], ids=["bf16", "fp32"])
def test_what_rounds_badly_with_some_ids_is_compared_with_others(tiny_llama, monkeypatch, precision: Precision, way: str):
    """In 16 bits a large error may be a rounding; in float32 it is a mistake."""
    right, calls = FastBody.hidden, []

    def unlucky_once(self, *batch):
        calls.append(1)
        return right(self, *batch) * (2 if len(calls) == 1 else 1)

    monkeypatch.setattr(FastBody, "hidden", unlucky_once)
    assert Policy(tiny_llama().to(precision.compute), precision, fast=ALL).verdict.way == way


def test_where_layers_of_ours_are_taken_the_model_runs_only_twice(tiny_llama):
    """For its rows and for its logits: the start is to be short."""
    model, passes = tiny_llama(), []
    model.model.layers[0].register_forward_hook(lambda *_: passes.append(1))
    Policy(model, FP32, fast=ALL)
    assert len(passes) == 2


def test_random_state_training_mode_and_configuration_come_back():
    model = AutoModelForCausalLM.from_config(MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=4096)).train()
    model.model.layers[0].eval()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    Policy(model, FP32)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training and not model.model.layers[0].training
    assert model.config.sliding_window == 4096


def test_a_window_that_counts_rows_instead_of_positions_is_seen(monkeypatch, notices):
    """The control: a window longer than the test's text is lowered, so a wrong one can't hide."""
    monkeypatch.setattr("autotrain.models.attention.Layout.mask", _mask_without_window)
    model = AutoModelForCausalLM.from_config(MistralConfig(**SMALL, num_key_value_heads=2, sliding_window=4096))
    verdict = Policy(_sharpened(model), FP32).verdict
    assert verdict.layout == "padded" and verdict.hidden_error > 0.01


def _mask_without_window(self, length, prefix, window, device):
    return torch.ones(length, prefix + length, dtype=torch.bool).tril(prefix)


def _sharpened(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.15)
    return model


def test_a_model_that_refuses_the_attention_is_padded_with_one_notice_naming_it(notices):
    for config in (
        FalconConfig(vocab_size=211, hidden_size=48, num_hidden_layers=2, num_attention_heads=4),
        MptConfig(vocab_size=211, d_model=48, n_layers=2, n_heads=4),
    ):
        notices.clear()
        model = AutoModelForCausalLM.from_config(config)
        verdict = Policy(model, FP32).verdict
        assert verdict.layout == "padded"
        assert len(notices) == 1 and config.model_type in notices[0] and "padded" in notices[0]


def test_chunked_attention_is_padded_though_it_takes_the_layout(notices):
    config = Llama4TextConfig(
        **{**SMALL, "num_attention_heads": 4},
        num_key_value_heads=2,
        head_dim=12,
        intermediate_size=96,
        intermediate_size_mlp=96,
        num_local_experts=2,
    )
    verdict = Policy(AutoModelForCausalLM.from_config(config), FP32).verdict
    assert verdict.layout == "padded" and "chunks" in verdict.reason
    assert verdict.fused_head  # its body is found, though the model calls itself its own base


def test_a_head_unlike_its_formula_is_not_fused(tiny_llama, documents, notices):
    model = tiny_llama(tied=False)
    plain = model(input_ids=documents(9).input_ids[None]).logits
    model.config.logit_scale = 0.5  # so the guess multiplies, and the model doesn't
    policy = Policy(model, FP32)
    assert (policy.verdict.layout, policy.verdict.fused_head) == ("flat", False)
    assert "logits" in notices[0]
    batch = documents(9)
    expected = plain[0].log_softmax(-1)[batch.source, batch.target]
    torch.testing.assert_close(policy(batch).per_token, expected, rtol=1e-5, atol=1e-5)


def test_it_runs_with_adapters_and_in_bfloat16(tiny_llama):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(tiny_llama().to(torch.bfloat16), LoraConfig(target_modules="all-linear", init_lora_weights=False))
    policy = Policy(model, BF16)
    assert policy.verdict.layout == "flat" and policy.verdict.fused_head
    assert policy.pretrained.config._attn_implementation == FOREST


def test_longrope_and_gpt2_are_flat_on_short_texts():
    short = [1.0] * 6
    phi = Phi3Config(
        **SMALL,
        intermediate_size=96,
        original_max_position_embeddings=64,
        max_position_embeddings=256,
        rope_scaling={"rope_type": "longrope", "short_factor": short, "long_factor": [4.0] * 6},
    )
    gpt2 = GPT2Config(vocab_size=211, n_embd=48, n_layer=2, n_head=4, n_positions=64)
    for config in (phi, gpt2):
        assert Policy(AutoModelForCausalLM.from_config(config), FP32).verdict.layout == "flat"
