"""Estimates for a planner: how many bytes a model's training takes, whatever the batch and for a batch of a given size.

Estimates, not promises: they count what a decoder layer of the Llama kind keeps for its backward pass.

Legend: H hidden size, I inner size, Q and K heads of queries and of keys times their size, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from transformers import PretrainedConfig

from autotrain.models.head import chunk_rows
from autotrain.models.kernels.native import MOST_NARROW

_FLOAT32_BYTES = 4
# Libraries keep the code that they make for each new shape of a product: so much for one more number of tokens.
# Measured on SmolLM2-135M, 20 steps with all weights, and with ranks of 16, 32 and 64: those of low rank have our kernels.
_CODE_BYTES, _CODE_BYTES_WITH_ADAPTER, _CODE_BYTES_WITH_NARROW_ADAPTER = 12 * 2**20, 4 * 2**20, 3 * 2**20
# Without our kernels an adapter's products are the libraries', and dropout is made of copies in float32; measured likewise.
_CODE_BYTES_WITHOUT_KERNELS, _COPIES_OF_DROPOUT = 26 * 2**20, 32
# Of models smaller than this, in bytes of weights, products are too small for much of it.
_SMALL_MODEL_BYTES = 200 * 2**20
ADAM_BYTES = 2 * _FLOAT32_BYTES  # two values for each trained weight


@dataclass(frozen=True)
class LayerSizes:
    """Sizes of a decoder layer and their number.  queries, keys: heads of each kind times their size."""

    num_layers: int
    hidden: int
    inner: int
    queries: int
    keys: int
    num_heads: int


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
        num_heads=heads,
    )


@dataclass(frozen=True)
class Computation:
    """What decides how much is kept.  value_bytes: of one value in the precision of the computation.

    fast_layers: whether decoder layers are one function each.  trains_base: all weights, not an adapter.
    optimizer_bytes: state for each trained weight.  has_kernels: whether our C++ kernels do their part.
    """

    device_type: str
    value_bytes: int
    fast_layers: bool
    trains_base: bool
    optimizer_bytes: int = ADAM_BYTES
    has_kernels: bool = True


@dataclass(frozen=True)
class MemoryEstimate:
    """All in bytes.  weights: as they are held.  gradients, optimizer: of what is trained.

    Of each token: `layer` is what a layer keeps until the backward pass, `layer_input` what it keeps if it is computed
    again, `layer_work` what its backward pass needs besides, `ends` what embedding and last norm keep.
    head: for any batch.  prediction: for each prediction; logit_row: for each of the up to `chunk_rows` at once.
    shape_code: what libraries keep for each new number of tokens.
    """

    weights: int
    gradients: int
    optimizer: int
    num_layers: int
    layer: int
    layer_input: int
    layer_work: int
    ends: int
    head: int
    prediction: int
    logit_row: int
    chunk_rows: int
    shape_code: int = 0

    def shared_by(self, number: int) -> "MemoryEstimate":
        """Of each of `number` devices among which weights, gradients and optimizer are cut up.

        A layer at a time is whole, and the next one on its way; so are the matrices of embedding and head.
        """
        if number == 1:
            return self
        whole = 2 * self.weights // max(1, self.num_layers)
        return replace(
            self,
            weights=self.weights // number + whole,
            gradients=self.gradients // number,
            optimizer=self.optimizer // number,
        )

    @property
    def fixed(self) -> int:
        """What doesn't depend on the batch."""
        return self.weights + self.gradients + self.optimizer

    @property
    def per_token(self) -> int:
        """What one token keeps until the backward pass."""
        return self.num_layers * self.layer + self.ends

    def activations(self, num_tokens: int, num_predictions: int, num_checkpointed: int = 0) -> int:
        """The most that a batch takes at once, if the first `num_checkpointed` layers are computed again.

        That is at the head or in the last layer's backward pass; or, where nearly all layers are computed again, in the
        backward pass of one of those.
        """
        inputs = num_checkpointed * self.layer_input
        kept = num_tokens * ((self.num_layers - num_checkpointed) * self.layer + inputs + self.ends)
        head = self.head + num_predictions * self.prediction + min(num_predictions, self.chunk_rows) * self.logit_row
        again = num_tokens * (inputs + self.layer + self.layer_work + self.ends) if num_checkpointed else 0
        return max(kept + max(head, num_tokens * self.layer_work), again)


def estimate_memory(model: nn.Module, config: PretrainedConfig, computation: Computation) -> MemoryEstimate:
    """What training `model`, with its adapter if it has one, takes."""
    sizes, value = layer_sizes(config), computation.value_bytes
    named = list(model.named_parameters())
    trained = sum(parameter.numel() for _, parameter in named if parameter.requires_grad)
    weights = sum(parameter.numel() * parameter.element_size() for _, parameter in named)
    ranks = [parameter.shape[0] for name, parameter in named if ".lora_A." in name]
    # The state between layers is of the weights' type.
    state = _FLOAT32_BYTES if computation.trains_base else value
    layer = _fast_layer(sizes, value, state) if computation.fast_layers else _layer(sizes, value)
    layer += sum(ranks) * value // max(1, sizes.num_layers)
    plain_dropout = 0 if computation.has_kernels else _plain_dropout(model, sizes)
    if ranks and not computation.fast_layers:
        layer += _dropped(sizes, value)
    vocabulary = _size(config.get_text_config().to_dict(), "vocab_size")
    is_cpu = computation.device_type == "cpu"
    return MemoryEstimate(
        weights=weights,
        gradients=trained * _FLOAT32_BYTES,
        optimizer=trained * computation.optimizer_bytes,
        num_layers=sizes.num_layers,
        layer=layer,
        layer_input=sizes.hidden * state,
        layer_work=4 * (sizes.inner + sizes.hidden) * value + plain_dropout,
        ends=sizes.hidden * (2 * _FLOAT32_BYTES + state),
        head=_head(sizes, vocabulary, value) if computation.trains_base else 0,
        prediction=sizes.hidden * (state + value),
        # On a processor the gradient is made where the logits were.
        logit_row=vocabulary * (value if is_cpu else value + 2 * _FLOAT32_BYTES),
        chunk_rows=chunk_rows(max(1, vocabulary), computation.device_type),
        shape_code=_code_of_a_shape(weights, ranks, computation.has_kernels) if is_cpu and computation.fast_layers else 0,
    )


def _code_of_a_shape(weights: int, ranks: Sequence[int], has_kernels: bool) -> int:
    """weights: bytes.  ranks: of all adapters."""
    code = _CODE_BYTES
    if ranks and not has_kernels:
        code = _CODE_BYTES_WITHOUT_KERNELS
    elif ranks:
        code = _CODE_BYTES_WITH_NARROW_ADAPTER if max(ranks) <= MOST_NARROW else _CODE_BYTES_WITH_ADAPTER
    return int(min(1.0, weights / _SMALL_MODEL_BYTES) * code)


def _plain_dropout(model: nn.Module, sizes: LayerSizes) -> int:
    """What an adapter's dropout needs without kernels, of each token of the widest matrix."""
    drops = any(isinstance(module, nn.Dropout) and module.p > 0 for name, module in model.named_modules() if "lora_" in name)
    return _COPIES_OF_DROPOUT * sizes.inner * _FLOAT32_BYTES if drops else 0


def _fast_layer(sizes: LayerSizes, value: int, state: int) -> int:
    """Input and state after attention; q, k, v, what attention returns, gate, up; the norms' factors, attention's sums."""
    values = 2 * sizes.queries + 2 * sizes.keys + 2 * sizes.inner
    return 2 * sizes.hidden * state + values * value + (2 + sizes.num_heads) * _FLOAT32_BYTES


def _layer(sizes: LayerSizes, value: int) -> int:
    """Both norms' outputs and residuals; q, k before and after rotation, v; what attention returns; gate, up, products."""
    values = 4 * sizes.hidden + 3 * sizes.queries + 3 * sizes.keys + 4 * sizes.inner
    return values * value + 4 * sizes.hidden * _FLOAT32_BYTES


def _dropped(sizes: LayerSizes, value: int) -> int:
    """An adapter keeps its input once more after dropout, and dropout its mask."""
    return (5 * sizes.hidden + sizes.queries + sizes.inner) * 2 * value


def _head(sizes: LayerSizes, vocabulary: int, value: int) -> int:
    """A trained head's matrix in the type of the computation, and a chunk's share of its gradient."""
    cast = value if value != _FLOAT32_BYTES else 0
    return vocabulary * sizes.hidden * (cast + _FLOAT32_BYTES)


def _size(fields: dict[str, Any], *names: str) -> int:
    """The first of the names that the family uses; 0 where it uses none."""
    return next((int(fields[name]) for name in names if isinstance(fields.get(name), int)), 0)
