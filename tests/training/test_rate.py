"""Operations are counted by hand for a model of known size; the machine's rate is measured without a trace."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from autotrain.models.adapters import add_adapter
from autotrain.models.forward import Policy
from autotrain.models.precision import BF16, FP32
from autotrain.params import LLMTrainingParams
from autotrain.training.rate import attended_tokens, matmul_rate, shapes_of
from autotrain.types import Example, Segment


def llama() -> LlamaForCausalLM:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=100, num_hidden_layers=2, tie_word_embeddings=True, **sizes))


def segment(length: int, parent: int | None = None) -> Segment:
    return Segment(np.zeros(length, np.int32), np.ones(length, bool), parent)


def test_a_token_looks_at_itself_and_at_what_stands_before_it():
    assert attended_tokens([Example((segment(4),))]) == 1 + 2 + 3 + 4
    pair = Example((segment(10), segment(2, 0), segment(3, 0)))  # branches look at the prompt, never at each other
    assert attended_tokens([pair]) == 55 + (2 * 10 + 3) + (3 * 10 + 6)


def test_a_llamas_matrices_are_counted():
    """A layer: q and o 32 x 32, k and v 32 x 16, three of 32 x 64: 2048 + 1024 + 6144 = 9216."""
    shapes = shapes_of(Policy(llama(), FP32))
    assert shapes is not None
    assert (shapes.body_weights, shapes.head_weights, shapes.adapter_weights) == (2 * 9216, 3200, 0)
    assert shapes.attention_width == 2 * 32


def test_an_adapter_is_counted_apart():
    """r = 4: q, o 4 (32 + 32) each; k, v 4 (32 + 16); gate, up, down 4 (32 + 64): 512 + 384 + 1152 = 2048 a layer."""
    params = LLMTrainingParams(peft=True, lora_r=4)
    shapes = shapes_of(Policy(add_adapter(llama(), params), FP32))
    assert shapes is not None and (shapes.body_weights, shapes.adapter_weights) == (2 * 9216, 2 * 2048)


def test_layers_of_the_older_kind_count_too():
    """GPT-2: q, k, v 16 x 48; o 16 x 16; 16 x 64 twice: 768 + 256 + 2048 = 3072."""
    shapes = shapes_of(Policy(GPT2LMHeadModel(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)), FP32))
    assert shapes is not None and (shapes.body_weights, shapes.attention_width) == (3072, 16)


def test_of_experts_nothing_is_claimed():
    config = MixtralConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    assert shapes_of(Policy(MixtralForCausalLM(config), FP32)) is None


@pytest.mark.parametrize("precision", [FP32, BF16], ids=["fp32", "bf16"])
def test_measuring_the_rate_changes_nothing(precision):
    policy = Policy(llama(), precision)
    random, switch = torch.get_rng_state(), torch.backends.mkldnn.matmul.fp32_precision
    assert matmul_rate(policy) > 1e6
    assert torch.get_rng_state().equal(random) and torch.backends.mkldnn.matmul.fp32_precision == switch
