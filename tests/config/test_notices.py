"""A field that the user set and that has no effect in this run is named; defaults never are."""

from typing import Any

import pytest

from autotrain.config.notices import ineffective
from autotrain.trainers.clm.params import LLMTrainingParams


def notices(**fields: Any) -> list[str]:
    return ineffective(LLMTrainingParams(**({"trainer": "sft"} | fields)))


def test_defaults_give_no_notice():
    assert notices() == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"lora_r": 8}, "lora_r has no effect without peft: true"),
        ({"quantization": "int4"}, "quantization has no effect without peft: true"),
        ({"merge_adapter": True}, "merge_adapter has no effect without peft: true"),
        ({"eval_strategy": "epoch"}, "eval_strategy has no effect without a valid_split"),
        ({"early_stopping_patience": 2}, "early_stopping_patience has no effect without a valid_split"),
        ({"max_prompt_length": 64}, "max_prompt_length has no effect with trainer sft; it is for dpo, orpo"),
        ({"add_eos_token": False}, "add_eos_token has no effect with trainer sft; it is for default"),
        ({"trainer": "default", "packing": True}, "packing has no effect with trainer default; it is for sft"),
        ({"model_ref": "gpt2"}, "model_ref has no effect with trainer sft; it is for dpo"),
        ({"trainer": "ipo", "loss_type": "hinge"}, "loss_type has no effect with trainer ipo; it is for dpo"),
        (
            {"trainer": "dpo", "label_smoothing": 0.1, "loss_type": "hinge"},
            "label_smoothing has no effect with this loss_type",
        ),
        ({"username": "me"}, "username has no effect without push_to_hub: true"),
        ({"unsloth": True}, "unsloth is not used; this project's own attention"),
        ({"use_flash_attention_2": True}, "use_flash_attention_2 is not used; this project's own attention"),
        ({"padding": "left"}, "padding only goes into the saved tokenizer"),
        ({"node_rank": 0}, "node_rank has no effect without nodes of 2 or more"),
        ({"master": "10.0.0.1:29500"}, "master has no effect without nodes of 2 or more"),
        ({"block_size": [256, 512]}, "block_size only the largest of the list counts"),
        ({"warmup_ratio": 0.2, "scheduler": "constant"}, "warmup_ratio has no effect with this scheduler"),
    ],
)
def test_a_field_without_effect_is_named(fields: dict[str, Any], expected: str):
    found = notices(**fields)
    assert len(found) == 1 and found[0].startswith(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"peft": True, "lora_r": 8, "quantization": "int4", "merge_adapter": True},
        {"valid_split": "valid", "eval_strategy": "steps", "eval_steps": 5, "early_stopping_patience": 2},
        {"quantization": None, "merge_adapter": False, "unsloth": False, "eval_strategy": "no", "push_to_hub": False},
        {"trainer": "dpo", "max_prompt_length": 64, "model_ref": "gpt2", "dpo_beta": 0.2},
        {"trainer": "dpo", "label_smoothing": 0.1, "loss_type": ["hinge", "aot"], "loss_weights": [1.0, 0.5]},
        {"trainer": "default", "add_eos_token": False, "block_size": [256, 512]},
        {"nodes": 2, "node_rank": 1, "master": "10.0.0.1:29500", "distributed_backend": "fsdp", "devices": 4},
    ],
)
def test_what_has_an_effect_or_is_off_is_not_named(fields: dict[str, Any]):
    assert notices(**fields) == []
