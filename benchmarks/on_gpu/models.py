"""Models of random weights: made where they are used, without a file or a download."""

from importlib.util import find_spec
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.on_gpu.rows import END, PAD
from benchmarks.on_gpu.works import Shape

LORA_RANK, LORA_ALPHA = 16, 32


def config_of(shape: Shape) -> LlamaConfig:
    """transformers' configuration of a shape."""
    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        head_dim=shape.head_size,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
        tie_word_embeddings=shape.tied,
        pad_token_id=PAD,
        eos_token_id=END,
        bos_token_id=None,
    )


def build_model(
    shape: Shape,
    device: torch.device,
    dtype: torch.dtype,
    *,
    int4: bool = False,
    attention: str = "sdpa",
    spread: float = 0.02,
) -> Any:
    """The same weights each time on the same device.  spread: their standard deviation."""
    config = config_of(shape)
    config.initializer_range = spread
    config._attn_implementation = attention
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return _in_four_bits(model, device) if int4 else model


def _in_four_bits(model: Any, device: torch.device) -> Any:
    from transformers import BitsAndBytesConfig

    quantization = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    return type(model).from_pretrained(
        None,
        config=model.config,
        state_dict=model.state_dict(),
        dtype=torch.bfloat16,
        quantization_config=quantization,
        device_map={"": device},
    )


def missing(*modules: str) -> str:
    """Why something can't be measured: the modules that aren't installed, or ""."""
    absent = [module for module in modules if find_spec(module) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""
