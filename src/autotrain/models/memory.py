"""Estimates for a planner: how many bytes a model's training takes, per token and in all.

Estimates, not promises: they count what a decoder layer of the Llama kind keeps for its backward pass.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PretrainedConfig

_FLOAT32_BYTES = 4


@dataclass(frozen=True)
class LayerSizes:
    """Sizes of a decoder layer and their number.  queries, keys: heads of each kind times their size."""

    num_layers: int
    hidden: int
    inner: int
    queries: int
    keys: int


def layer_sizes(config: PretrainedConfig) -> LayerSizes:
    """Read from the names that families use; 0 for what a family doesn't have."""
    fields: dict[str, Any] = config.get_text_config().to_dict()
    hidden = _size(fields, "hidden_size", "n_embd", "d_model")
    heads = _size(fields, "num_attention_heads", "n_head", "n_heads") or 1
    head_size = _size(fields, "head_dim") or hidden // heads
    return LayerSizes(
        num_layers=_size(fields, "num_hidden_layers", "n_layer", "n_layers"),
        hidden=hidden,
        inner=_size(fields, "intermediate_size", "n_inner", "ffn_dim") or 4 * hidden,
        queries=heads * head_size,
        keys=(_size(fields, "num_key_value_heads") or heads) * head_size,
    )


@dataclass(frozen=True)
class MemoryEstimate:
    """All in bytes.  weights: as they are held.  gradients: of what is trained.

    optimizer: two float32 values for each trained parameter, as Adam keeps.  per_token and per_token_checkpointed: what one
    token of a batch keeps until the backward pass, without and with gradient checkpointing.
    """

    weights: int
    gradients: int
    optimizer: int
    per_token: int
    per_token_checkpointed: int

    @property
    def fixed(self) -> int:
        """What doesn't depend on the batch."""
        return self.weights + self.gradients + self.optimizer


def estimate_memory(model: nn.Module, config: PretrainedConfig, compute_bytes: int, *, has_adapter: bool) -> MemoryEstimate:
    """compute_bytes: size of one value in the precision of the computation."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    sizes = layer_sizes(config)
    layer = _layer_bytes(sizes, compute_bytes, has_adapter=has_adapter)
    hidden, num_layers = sizes.hidden, sizes.num_layers
    # Input, embedding, final norm (in float32) and, for each prediction, its row and the row's gradient.
    ends = hidden * (4 * _FLOAT32_BYTES + 2 * compute_bytes)
    return MemoryEstimate(
        weights=weights,
        gradients=trained * _FLOAT32_BYTES,
        optimizer=2 * trained * _FLOAT32_BYTES,
        per_token=num_layers * layer + ends,
        per_token_checkpointed=num_layers * hidden * compute_bytes + layer + ends,
    )


def _layer_bytes(sizes: LayerSizes, compute_bytes: int, *, has_adapter: bool) -> int:
    hidden, inner, queries, keys = sizes.hidden, sizes.inner, sizes.queries, sizes.keys
    # Both norms' outputs and residuals; q, k before and after rotation, v; what attention returns; gate, up, their products.
    values = 4 * hidden + 3 * queries + 3 * keys + 4 * inner
    norms = 4 * hidden * _FLOAT32_BYTES
    # An adapter keeps its input once more after dropout, and dropout its mask.
    dropped = (5 * hidden + queries + inner) * 2 * compute_bytes if has_adapter else 0
    return values * compute_bytes + norms + dropped


def _size(fields: dict[str, Any], *names: str) -> int:
    """The first of the names that the family uses; 0 where it uses none."""
    return next((int(fields[name]) for name in names if isinstance(fields.get(name), int)), 0)
