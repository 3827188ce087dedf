"""A decoder layer of the Llama kind as one function, forward and backward by hand.

Kept for the backward pass: the layer's input, queries, keys, values, what attention returns, the state after attention, gate
and up; norms, attention weights, dropout masks and the gated product are made again.  In the type of the computation, this
is a third of what autograd keeps of the same layer.

Legend: N tokens, H hidden size, I inner size, Q query heads, K key heads, D head size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from autotrain.models.fast.attention import attend, attend_backward
from autotrain.models.fast.linear import (
    Gradients,
    Group,
    enter_gradients,
    ordered,
    project,
    project_back,
    project_backward,
)
from autotrain.models.kernels import ops
from autotrain.models.kernels.tiles import Heads
from autotrain.models.layout import Layout


@dataclass(frozen=True)
class Norm:
    """A root-mean-square norm (arXiv 1910.07467).  weight: (H,), or (D,) for queries and keys."""

    weight: Tensor
    eps: float


@dataclass(frozen=True)
class Layer:
    """One decoder layer: what it computes with.  query_norm, key_norm: of each head (Qwen3), None elsewhere."""

    before_attention: Norm
    before_mlp: Norm
    query_norm: Norm | None
    key_norm: Norm | None
    inputs: Group  # q, k, v
    output: Group  # o
    gates: Group  # gate, up
    down: Group
    heads: Heads

    @property
    def has_dropout(self) -> bool:
        return any(group.dropout > 0 for group in (self.inputs, self.output, self.gates, self.down))

    def trained(self) -> list[Tensor]:
        """The parameters that get a gradient, in the order in which `_DecoderLayer` takes them."""
        norms = [norm.weight for norm in self._norms() if norm.weight.requires_grad]
        groups = (self.inputs, self.output, self.gates, self.down)
        return [*norms, *(tensor for group in groups for tensor in group.trained())]

    def _norms(self) -> list[Norm]:
        norms = (self.before_attention, self.before_mlp, self.query_norm, self.key_norm)
        return [norm for norm in norms if norm]


@dataclass(frozen=True)
class Setting:
    """What all layers of a pass share.  cos, sin: (N, D).  dtype: of the computation.  recompute: keep the input only."""

    layout: Layout
    cos: Tensor
    sin: Tensor
    dtype: torch.dtype
    seed: int
    recompute: bool


@dataclass
class _Kept:
    """What the backward pass needs.  queries, keys: before norm and rotation where the layer norms them, else after."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    attended: Tensor
    sums: Tensor  # of attention's exponentials
    middle: Tensor  # (N, H): after attention
    gate: Tensor
    up: Tensor
    rstd_before: Tensor
    rstd_middle: Tensor
    inner: tuple[Tensor | None, ...]  # of the four groups


def run_layer(layer: Layer, hidden: Tensor, setting: Setting) -> Tensor:
    """(N, H), the layer's output for hidden (N, H)."""
    return _DecoderLayer.apply(hidden, layer, setting, *layer.trained())  # pyright: ignore[reportReturnType]


class _DecoderLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, layer: Layer, setting: Setting, *trained: Tensor) -> Tensor:
        output, kept = _forward(layer, hidden, setting)
        if any(ctx.needs_input_grad):
            ctx.layer, ctx.setting, ctx.trained = layer, setting, trained
            ctx.kept = None if setting.recompute else kept
            ctx.save_for_backward(hidden)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (hidden,) = ctx.saved_tensors
        kept = ctx.kept if ctx.kept is not None else _forward(ctx.layer, hidden, ctx.setting)[1]
        ctx.kept = None  # its tensors are written over below, and are free afterwards
        gradients: Gradients = {}
        grad = _backward(ctx.layer, grad_outputs[0], hidden, kept, ctx.setting, gradients)
        return (grad, None, None, *ordered(ctx.trained, gradients))


def _seeds(setting: Setting) -> tuple[int, int, int, int]:
    """A seed for each group's dropout."""
    return setting.seed, setting.seed + 1, setting.seed + 2, setting.seed + 3


def _forward(layer: Layer, hidden: Tensor, setting: Setting) -> tuple[Tensor, _Kept]:
    seeds = _seeds(setting)
    first, second = layer.before_attention, layer.before_mlp
    normed, rstd_before = ops.rms_norm(hidden, first.weight, first.eps, setting.dtype)
    (queries, keys, values), inner_inputs = project(layer.inputs, normed, seeds[0])
    turned = _turned(layer, queries, keys, setting)
    attended, sums = attend(*turned, values, setting.layout, layer.heads)
    (delta,), inner_output = project(layer.output, attended, seeds[1])
    middle, normed, rstd_middle = ops.add_rms_norm(hidden, delta, second.weight, second.eps, setting.dtype)
    (gate, up), inner_gates = project(layer.gates, normed, seeds[2])
    (delta,), inner_down = project(layer.down, ops.swiglu(gate, up), seeds[3])
    inner = (inner_inputs, inner_output, inner_gates, inner_down)
    kept = _Kept(queries, keys, values, attended, sums, middle, gate, up, rstd_before, rstd_middle, inner)
    return middle + delta, kept


def _turned(layer: Layer, queries: Tensor, keys: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """Queries and keys after norm and rotation.  Without norms they are rotated where they are, once."""
    if layer.query_norm is not None and layer.key_norm is not None:
        queries, _ = _head_norm(queries, layer.query_norm)
        keys, _ = _head_norm(keys, layer.key_norm)
    ops.rope_(queries, layer.heads.num_queries, setting.cos, setting.sin)
    ops.rope_(keys, layer.heads.num_keys, setting.cos, setting.sin)
    return queries, keys


def _head_norm(tensor: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Norm each head of (N, heads * D).  Returns the same shape, and (N * heads,) for `_head_norm_backward`."""
    rows, rstd = ops.rms_norm(tensor.reshape(-1, norm.weight.shape[0]), norm.weight, norm.eps, tensor.dtype)
    return rows.view(tensor.shape), rstd


def _backward(layer: Layer, grad: Tensor, hidden: Tensor, kept: _Kept, setting: Setting, gradients: Gradients) -> Tensor:
    """The gradient of hidden from that of the output, both (N, H)."""
    seeds, dtype = _seeds(setting), setting.dtype
    by_outputs = [grad.to(dtype)]
    by_product, by_inner = project_back(layer.down, by_outputs, kept.inner[3], seeds[3], gradients)
    *by_gates, product = ops.swiglu_backward(by_product, kept.gate, kept.up, (kept.gate, kept.up))
    enter_gradients(layer.down, by_outputs, product, by_inner, seeds[3], gradients)
    normed = _normed_again(kept.middle, layer.before_mlp, kept.rstd_middle, dtype)
    by_normed = project_backward(layer.gates, by_gates, normed, kept.inner[2], seeds[2], gradients)
    grad = _norm_backward(layer.before_mlp, by_normed, kept.middle, kept.rstd_middle, grad, gradients)
    by_attended = project_backward(layer.output, [grad.to(dtype)], kept.attended, kept.inner[1], seeds[1], gradients)
    by_inputs = _attention_backward(layer, by_attended, kept, setting, gradients)
    normed = _normed_again(hidden, layer.before_attention, kept.rstd_before, dtype)
    by_normed = project_backward(layer.inputs, by_inputs, normed, kept.inner[0], seeds[0], gradients)
    return _norm_backward(layer.before_attention, by_normed, hidden, kept.rstd_before, grad, gradients)


def _attention_backward(layer: Layer, grad: Tensor, kept: _Kept, setting: Setting, gradients: Gradients) -> Sequence[Tensor]:
    """Gradients of what the projections made: queries, keys, values."""
    heads = layer.heads
    if layer.query_norm is None or layer.key_norm is None:
        by_query, by_key, by_value = attend_backward(
            grad, kept.queries, kept.keys, kept.values, kept.attended, kept.sums, setting.layout, heads
        )
        _turn_back(by_query, by_key, heads, setting)
        return by_query, by_key, by_value
    queries, query_rstd = _head_norm(kept.queries, layer.query_norm)
    keys, key_rstd = _head_norm(kept.keys, layer.key_norm)
    ops.rope_(queries, heads.num_queries, setting.cos, setting.sin)
    ops.rope_(keys, heads.num_keys, setting.cos, setting.sin)
    by_query, by_key, by_value = attend_backward(
        grad, queries, keys, kept.values, kept.attended, kept.sums, setting.layout, heads
    )
    _turn_back(by_query, by_key, heads, setting)
    by_query = _head_norm_backward(layer.query_norm, by_query, kept.queries, query_rstd, gradients)
    by_key = _head_norm_backward(layer.key_norm, by_key, kept.keys, key_rstd, gradients)
    return by_query, by_key, by_value


def _turn_back(by_query: Tensor, by_key: Tensor, heads: Heads, setting: Setting) -> None:
    ops.rope_(by_query, heads.num_queries, setting.cos, setting.sin, inverse=True)
    ops.rope_(by_key, heads.num_keys, setting.cos, setting.sin, inverse=True)


def _head_norm_backward(norm: Norm, grad: Tensor, before: Tensor, rstd: Tensor, gradients: Gradients) -> Tensor:
    size = norm.weight.shape[0]
    by_rows = _norm_backward(norm, grad.view(-1, size), before.reshape(-1, size), rstd, None, gradients)
    return by_rows.view(before.shape)


def _normed_again(hidden: Tensor, norm: Norm, rstd: Tensor, dtype: torch.dtype) -> Tensor:
    return ops.rms_norm(hidden, norm.weight, norm.eps, dtype)[0]


def _norm_backward(
    norm: Norm, grad: Tensor, before: Tensor, rstd: Tensor, residual_grad: Tensor | None, gradients: Gradients
) -> Tensor:
    needs_weight = norm.weight.requires_grad
    result, by_weight = ops.rms_norm_backward(grad, before, norm.weight, rstd, residual_grad, needs_weight=needs_weight)
    if by_weight is not None:
        gradients[id(norm.weight)] = by_weight.to(norm.weight.dtype)
    return result
