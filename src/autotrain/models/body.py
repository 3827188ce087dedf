"""Parts of a loaded model: transformers' own model under an adapter, its body, and which attention it runs."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from autotrain.models.attention import FOREST, register


def pretrained_of(model: nn.Module) -> PreTrainedModel:
    """The model itself, without the wrapper that an adapter puts around it."""
    if isinstance(model, PreTrainedModel):
        return model
    return model.get_base_model()  # pyright: ignore[reportCallIssue,reportReturnType]


def find_body(model: PreTrainedModel) -> nn.Module | None:
    """The part that makes hidden states, final norm included; None where the model doesn't tell it from the whole."""
    for candidate in (model.base_model, model.get_decoder(), dict(model.named_children()).get("model")):
        if isinstance(candidate, nn.Module) and candidate is not model:
            return candidate
    return None


def text_configs(model: PreTrainedModel) -> list[PretrainedConfig]:
    """The model's configuration and, in a model of several modalities, the text part's."""
    whole, text = model.config, model.config.get_text_config()
    return [whole] if text is whole else [whole, text]


def stock_attention_of(model: PreTrainedModel) -> str:
    """The attention of transformers that computes this model exactly: eager where logits are capped."""
    fields: dict[str, Any] = model.config.get_text_config().to_dict()
    return "eager" if fields.get("attn_logit_softcapping") else str(model.config._attn_implementation)  # pyright: ignore[reportPrivateUsage]


def set_attention(model: PreTrainedModel, name: str) -> bool:
    """Switch the attention; False where the model refuses, which transformers only logs."""
    if name == FOREST:
        register()
    if not model._can_set_attn_implementation():  # pyright: ignore[reportPrivateUsage]
        return False
    model.set_attn_implementation(name)
    return all(config._attn_implementation == name for config in text_configs(model))  # pyright: ignore[reportPrivateUsage]


@contextmanager
def attention_set_to(model: PreTrainedModel, name: str) -> Generator[None]:
    """Run with the attention `name`, then with the one before."""
    before = str(model.config._attn_implementation)  # pyright: ignore[reportPrivateUsage]
    if before == name:
        yield
        return
    set_attention(model, name)
    try:
        yield
    finally:
        set_attention(model, before)
