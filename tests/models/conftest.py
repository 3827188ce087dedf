"""Tiny random models, and batches made by hand."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from autotrain.base_models import ModelSource
from autotrain.types import Batch, Span

VOCABULARY = 211


def _tiny_llama(*, tied: bool = True, **changes: object) -> LlamaForCausalLM:
    fields = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": tied,
        "pad_token_id": None,
    }
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**{**fields, **changes}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.15)
    return model


def _documents(*lengths: int, seed: int = 1, vocabulary: int = VOCABULARY) -> Batch:
    """Each document's tokens but its first are targets."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(vocabulary, (sum(lengths),), generator=generator)
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    source = torch.cat([torch.arange(s, s + n - 1) for s, n in zip(starts, lengths, strict=True)])
    return Batch(
        input_ids=ids,
        position_ids=torch.cat([torch.arange(n) for n in lengths]),
        spans=tuple(Span(s, n) for s, n in zip(starts, lengths, strict=True)),
        source=source,
        target=ids[source + 1],
        sequence=torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths) - 1),
        sequence_end=torch.tensor([s + n - 1 for s, n in zip(starts, lengths, strict=True)]),
        num_examples=len(lengths),
    )


@pytest.fixture
def tiny_llama() -> Callable[..., PreTrainedModel]:
    return _tiny_llama


@pytest.fixture
def documents() -> Callable[..., Batch]:
    return _documents


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[PreTrainedModel], ModelSource]:
    """Write a model to a folder and return where it is."""

    def save(model: PreTrainedModel) -> ModelSource:
        model.save_pretrained(tmp_path / "base")
        return ModelSource(str(tmp_path / "base"))

    return save


@pytest.fixture
def notices(monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """What the user was told."""
    told: list[str] = []
    monkeypatch.setattr("autotrain.log.notice", told.append)
    return told
