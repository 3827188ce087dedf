"""Everything here needs an NVIDIA GPU; without one it is skipped.  `pytest -m gpu tests/gpu` runs it."""

from collections.abc import Callable, Generator
from typing import Any

import pytest
import torch
from rank_fixtures import rows_folder, run_alone  # noqa: F401  (fixtures)
from transformers import LlamaConfig, LlamaForCausalLM

VOCABULARY = 211


@pytest.fixture(autouse=True)
def needs_a_gpu() -> Generator[None]:
    """Skips without a GPU, and leaves torch's switches and memory limit as they were."""
    if not torch.cuda.is_available():
        pytest.skip(reason="no CUDA device here")
    yield
    torch.cuda.set_sync_debug_mode("default")
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture
def llama(device: torch.device) -> Callable[..., LlamaForCausalLM]:
    """A small Llama with heads as wide as kernels want them, and attention that isn't flat."""

    def make(dtype: torch.dtype = torch.float32, **changes: Any) -> LlamaForCausalLM:
        fields = {
            "vocab_size": VOCABULARY,
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "initializer_range": 0.08,
            "pad_token_id": None,
        }
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**{**fields, **changes})).to(device, dtype)

    return make
