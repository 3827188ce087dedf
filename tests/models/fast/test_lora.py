"""Our LoRA layer gives PEFT's numbers, and its files are PEFT's."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers import models as families

from autotrain.models.adapters import add_adapter
from autotrain.models.fast.lora import FastLoraLinear
from autotrain.models.fast.switch import ALL, NONE, FastPaths
from autotrain.trainers.clm.params import LLMTrainingParams

SIZES = {"vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
IDS = torch.arange(40).view(2, 20)


def adapted(fast: FastPaths, **settings: object) -> PeftModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(families.LlamaConfig(**SIZES, mlp_bias=True))
    settings = {"lora_r": 4, "lora_dropout": 0.0, "peft": True, **settings}
    torch.manual_seed(1)
    result = add_adapter(model, LLMTrainingParams(**settings), fast=fast)
    with torch.no_grad():
        for name, parameter in result.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return result


def answer(model: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
    logits = model(input_ids=IDS).logits
    logits.square().sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def layers_of_ours(model: nn.Module) -> int:
    return sum(isinstance(module, FastLoraLinear) for module in model.modules())


@pytest.mark.parametrize("targets", ["all-linear", "q_proj,down_proj"])
@pytest.mark.parametrize("use_rslora", [False, True])
def test_values_and_gradients_are_pefts(targets: str, use_rslora: bool):
    ours, theirs = (adapted(fast, target_modules=targets, use_rslora=use_rslora) for fast in (ALL, NONE))
    assert layers_of_ours(ours) and not layers_of_ours(theirs)
    (value, gradients), (expected, expected_gradients) = answer(ours), answer(theirs)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-4, atol=1e-4)


def test_dora_is_left_to_peft():
    ours, theirs = adapted(ALL, use_dora=True), adapted(NONE, use_dora=True)
    torch.testing.assert_close(answer(ours)[0], answer(theirs)[0])


def test_peft_loads_what_was_saved(tmp_path: Path):
    model = adapted(ALL)
    expected = answer(model)[0]
    model.save_pretrained(tmp_path)
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(families.LlamaConfig(**SIZES, mlp_bias=True))
    torch.testing.assert_close(PeftModel.from_pretrained(base, tmp_path)(IDS).logits, expected)


def test_merged_or_switched_off_it_is_pefts():
    model = adapted(ALL)
    expected = answer(model)[0]
    base = adapted(NONE)
    with model.disable_adapter(), base.disable_adapter():
        torch.testing.assert_close(model(IDS).logits, base(IDS).logits)
    model.merge_adapter()
    torch.testing.assert_close(model(IDS).logits, expected, rtol=1e-4, atol=1e-4)


def test_dropout_is_off_in_evaluation_and_follows_the_random_state():
    model = adapted(ALL, lora_dropout=0.5)
    torch.manual_seed(3)
    first = model.train()(IDS).logits
    torch.manual_seed(3)
    assert torch.equal(model(IDS).logits, first) and not torch.equal(model(IDS).logits, first)
    assert torch.equal(model.eval()(IDS).logits, model(IDS).logits)
