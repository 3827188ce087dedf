"""Linear layers that share an input, with LoRA on all, some or none of them, forward and backward by hand.

One product makes x A^T for all of them; dropout keeps no mask, since a hash of its seed makes the mask again.

Legend: N tokens, I inputs, O outputs, r rank, R the ranks of a group's adapters added up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from autotrain.models.kernels import ops


class Weight(Protocol):
    """How the matrix (O, I) of a layer is read, in the type of the computation; quantized ones are made dense."""

    def __call__(self, dtype: torch.dtype) -> Tensor: ...


@dataclass(frozen=True)
class Adapter:
    """LoRA (arXiv 2106.09685): scaling * B A.  down: A, (r, I).  up: B, (O, r)."""

    down: nn.Parameter
    up: nn.Parameter
    scaling: float


@dataclass(frozen=True)
class Linear:
    """x W^T + bias + adapter.  matrix, bias: the parameters themselves, which may be trained."""

    read: Weight
    matrix: Tensor
    bias: Tensor | None
    adapter: Adapter | None


@dataclass(frozen=True)
class Group:
    """Layers with the same input.  dropout: of the adapters' input, shared by them; 0 in evaluation."""

    layers: tuple[Linear, ...]
    dropout: float

    @cached_property
    def adapters(self) -> tuple[Adapter, ...]:
        return tuple(layer.adapter for layer in self.layers if layer.adapter)

    @cached_property
    def ranks(self) -> list[int]:
        return [adapter.down.shape[0] for adapter in self.adapters]

    def trained(self) -> list[Tensor]:
        """What gradients are made for."""
        found = [tensor for layer in self.layers for tensor in (layer.matrix, layer.bias) if tensor is not None]
        found += [matrix for adapter in self.adapters for matrix in (adapter.down, adapter.up)]
        return [tensor for tensor in found if tensor.requires_grad]


Gradients = dict[int, Tensor]  # by id of the parameter


def project(group: Group, inputs: Tensor, seed: int) -> tuple[list[Tensor], Tensor | None]:
    """What each layer makes of inputs (N, I), and (N, R) what the adapters made on the way, for `project_backward`."""
    dtype = inputs.dtype
    outputs = [_dense(layer, inputs) for layer in group.layers]
    if not group.adapters:
        return outputs, None
    inner = _dropped(group, inputs, seed) @ _downs(group, dtype).T
    for adapter, output, part in _with_parts(group, outputs, inner):
        output.addmm_(part, adapter.up.to(dtype).T, alpha=adapter.scaling)
    return outputs, inner


def project_backward(
    group: Group, grads: Sequence[Tensor], inputs: Tensor, inner: Tensor | None, seed: int, gradients: Gradients
) -> Tensor:
    """The gradient of inputs, (N, I); those of what is trained are entered into `gradients`.

    grads: (N, O) for each layer, in the type of the inputs.
    """
    total, by_inner = project_back(group, grads, inner, seed)
    enter_gradients(group, grads, inputs, inner, by_inner, seed, gradients)
    return total


def project_back(group: Group, grads: Sequence[Tensor], inner: Tensor | None, seed: int) -> tuple[Tensor, Tensor | None]:
    """The gradients of the inputs, (N, I), and of what the adapters made on the way, (N, R)."""
    dtype = grads[0].dtype
    total = grads[0] @ group.layers[0].read(dtype)
    for layer, grad in zip(group.layers[1:], grads[1:], strict=True):
        total.addmm_(grad, layer.read(dtype))
    if inner is None:
        return total, None
    by_inner, downs = torch.empty_like(inner), _downs(group, dtype)
    for adapter, grad, by_part in _with_parts(group, grads, by_inner):
        torch.mm(grad, adapter.up.to(dtype), out=by_part).mul_(adapter.scaling)
    if group.dropout == 0:
        return total.addmm_(by_inner, downs), by_inner
    return ops.dropout(by_inner @ downs, group.dropout, seed, add_to=total), by_inner


def enter_gradients(
    group: Group,
    grads: Sequence[Tensor],
    inputs: Tensor,
    inner: Tensor | None,
    by_inner: Tensor | None,
    seed: int,
    gradients: Gradients,
) -> None:
    """Enter the gradients of what is trained: grads of the outputs times what the products were made of."""
    for layer, grad in zip(group.layers, grads, strict=True):
        _enter_dense(layer, grad, inputs, gradients)
    if inner is None or by_inner is None:
        return
    for adapter, grad, part in _with_parts(group, grads, inner):
        gradients[id(adapter.up)] = (grad.T @ part).float().mul_(adapter.scaling)
    by_downs = (by_inner.T @ _dropped(group, inputs, seed)).float()
    for adapter, rows in zip(group.adapters, by_downs.split(group.ranks), strict=True):
        gradients[id(adapter.down)] = rows


def _dense(layer: Linear, inputs: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(inputs.dtype)
    return nn.functional.linear(inputs, layer.read(inputs.dtype), bias)


def _enter_dense(layer: Linear, grad: Tensor, inputs: Tensor, gradients: Gradients) -> None:
    if layer.matrix.requires_grad:
        gradients[id(layer.matrix)] = (grad.T @ inputs).to(layer.matrix.dtype)
    if layer.bias is not None and layer.bias.requires_grad:
        gradients[id(layer.bias)] = grad.sum(0, dtype=torch.float32).to(layer.bias.dtype)


def _dropped(group: Group, inputs: Tensor, seed: int) -> Tensor:
    return inputs if group.dropout == 0 else ops.dropout(inputs, group.dropout, seed)


def _downs(group: Group, dtype: torch.dtype) -> Tensor:
    """(R, I)."""
    downs = [adapter.down.detach() for adapter in group.adapters]
    return (downs[0] if len(downs) == 1 else torch.cat(downs)).to(dtype)


def _with_parts(group: Group, values: Sequence[Tensor], inner: Tensor) -> list[tuple[Adapter, Tensor, Tensor]]:
    """Each adapter with its layer's value (N, O) and its own part (N, r) of inner (N, R)."""
    pairs = [(layer.adapter, value) for layer, value in zip(group.layers, values, strict=True) if layer.adapter]
    parts = inner.split(group.ranks, dim=1)
    return [(adapter, value, part) for (adapter, value), part in zip(pairs, parts, strict=True)]


def ordered(trained: Sequence[Tensor], gradients: Mapping[int, Tensor]) -> list[Tensor | None]:
    """The gradients in the order of `trained`."""
    return [gradients.get(id(tensor)) for tensor in trained]
