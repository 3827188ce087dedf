"""A tiny Llama with a tokenizer trained on the spot, saved to a folder; and Policies made of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from autotrain.base_models import ModelSource, find_model
from autotrain.data.tokenizer import LoadedTokenizer, load_tokenizer
from autotrain.models.forward import Policy
from autotrain.models.load import load_model
from autotrain.models.precision import FP32
from autotrain.trainers.clm.params import LLMTrainingParams

TEXT = ["the quick brown fox jumps over the lazy dog", "hello, who are you?", "user assistant system a b c d e f"] * 20


def make_tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=290, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def make_base(folder: Path, *, rows: int | None = None, dtype: torch.dtype = torch.float32, tied: bool = True) -> Path:
    tokenizer = make_tokenizer()
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=rows or len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.15,
        tie_word_embeddings=tied,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return make_base(tmp_path / "base")


class Trained:
    """A "trained" model: its trainable weights moved at random, so that it differs from its base."""

    def __init__(self, base: Path | str, *, moved_by: float = 0.1, needs_chat: bool = True, **fields: Any) -> None:
        fields = {"project_name": "my-run", "chat_template": "chatml", "peft": True, "trainer": "sft", **fields}
        self.params = LLMTrainingParams(model=str(base), **fields)
        self.source: ModelSource = find_model(str(base))
        self.loaded: LoadedTokenizer = load_tokenizer(self.params, self.source, needs_chat=needs_chat)
        self.policy: Policy = load_model(
            self.params,
            self.source,
            vocabulary_size=len(self.loaded.tokenizer),
            new_token_ids=self.loaded.new_token_ids,
            device=torch.device("cpu"),
            precision=FP32,
            quantization=None,
            seed=1,
        )
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in self.policy.parameters():
                if parameter.requires_grad:
                    parameter += moved_by * torch.randn(parameter.shape, generator=generator)
        self.policy.eval()

    @torch.no_grad()
    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        with self.policy.stock_attention():
            return self.policy.model(input_ids=ids).logits


@pytest.fixture
def train() -> Callable[..., Trained]:
    return Trained


@pytest.fixture
def base_at() -> Callable[..., Path]:
    return make_base


@pytest.fixture
def ids() -> torch.Tensor:
    """(1, tokens): the last few are those that chatml adds."""
    return torch.cat([torch.arange(2, 40), torch.tensor([290, 291])])[None]
