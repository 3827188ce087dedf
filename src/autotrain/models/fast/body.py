"""The body of a model of the Llama family, run layer by layer through `run_layer`.

It reads the weights where transformers and PEFT hold them and changes neither, so saving, loading and generation are
theirs.  The self-test (models/probe) compares it with the model's own before it is used.
"""

from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn

from autotrain.models.fast.layer import Layer, Norm, Setting, run_layer
from autotrain.models.fast.linear import Group
from autotrain.models.fast.lora import is_linear, is_one_plain_adapter, read_dropout, read_linear
from autotrain.models.kernels.tiles import Heads
from autotrain.models.layout import Layout
from autotrain.models.precision import compute_dtype

# Bodies whose layers are: norm, q k v, rotation, attention, o, norm, gate and up, silu, down.
FAMILIES = ("LlamaModel", "MistralModel", "Qwen2Model", "Qwen3Model")
_QUERIES = ("q_proj", "k_proj", "v_proj")


# Rows of zeros fill a batch up to a multiple of this: oneDNN makes code for each new shape, which costs more than the rows.
# No token sees them, and no gradient comes from them.
_MULTIPLE = 64


@dataclass(frozen=True)
class FastBody:
    """body: transformers' own.  num_checkpointed: so many of the first layers are computed again in the backward pass."""

    body: Any
    num_checkpointed: int = 0

    def hidden(self, ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
        """(N, H) hidden states, the final norm included.  ids, positions: (N,)."""
        body = self.body
        num_tokens = len(ids)
        missing = -num_tokens % _MULTIPLE
        hidden = nn.functional.pad(body.embed_tokens(ids), (0, 0, 0, missing))  # (N, H)
        cos, sin = body.rotary_emb(hidden[None], nn.functional.pad(positions, (0, missing))[None])
        dtype = compute_dtype(hidden)
        layers = [read_layer(module, body.config) for module in body.layers]
        # Drawn from torch's generator, as dropout would: checkpoints keep its state.
        seed = int(torch.randint(2**40, (1,))) if any(layer.has_dropout for layer in layers) else 0
        with torch.autocast(hidden.device.type, enabled=False):
            for index, layer in enumerate(layers):
                recompute = index < self.num_checkpointed
                setting = Setting(layout, cos[0], sin[0], dtype, seed + 4 * index, recompute)
                hidden = run_layer(layer, hidden, setting)
            return body.norm(hidden[:num_tokens])


def find_fast_body(body: nn.Module | None) -> FastBody | None:
    """None where the model isn't of a known family, or holds something in it that we don't compute."""
    if type(body).__name__ not in FAMILIES or not type(body).__module__.startswith("transformers.models."):
        return None
    fast = FastBody(body)
    return fast if all(_is_known(layer) for layer in fast.body.layers) else None


def _is_known(layer: Any) -> bool:
    attention, mlp = layer.self_attn, layer.mlp
    linears = [getattr(attention, name) for name in (*_QUERIES, "o_proj")]
    linears += [mlp.gate_proj, mlp.up_proj, mlp.down_proj]
    return type(mlp.act_fn).__name__ in ("SiLU", "SiLUActivation") and all(_is_known_linear(one) for one in linears)


def _is_known_linear(module: Any) -> bool:
    """A matrix, dense or in 4 bits, alone or under a plain adapter."""
    return is_linear(module) or (isinstance(module, LoraLayer) and is_one_plain_adapter(module))


def read_layer(module: Any, config: Any) -> Layer:
    """A decoder layer as it stands: adapters that are switched off are left out."""
    attention, mlp = module.self_attn, module.mlp
    return Layer(
        before_attention=_norm(module.input_layernorm),
        before_mlp=_norm(module.post_attention_layernorm),
        query_norm=_norm(attention.q_norm) if "q_norm" in attention._modules else None,
        key_norm=_norm(attention.k_norm) if "k_norm" in attention._modules else None,
        inputs=_group(*(attention._modules[name] for name in _QUERIES)),
        output=_group(attention.o_proj),
        gates=_group(mlp.gate_proj, mlp.up_proj),
        down=_group(mlp.down_proj),
        heads=_heads(attention, config),
    )


def _heads(attention: Any, config: Any) -> Heads:
    is_windowed = config.model_type == "mistral" or getattr(attention, "layer_type", None) == "sliding_attention"
    window = config.sliding_window if is_windowed else None
    return Heads(config.num_attention_heads, config.num_key_value_heads, attention.scaling, window)


def _norm(module: Any) -> Norm:
    return Norm(module.weight, module.variance_epsilon)


def _group(*modules: Any) -> Group:
    return Group(tuple(map(read_linear, modules)), max(map(read_dropout, modules)))
