"""Linear layers that share an input, with LoRA on all, some or none of them, forward and backward by hand.

One product makes x A^T for all of them; dropout keeps no mask, since a hash of its seed makes the mask again.

Legend: N tokens, I inputs, O outputs, r rank, R the ranks of a group's adapters added up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        return tuple(layer.adapter for layer in self.layers if layer.adapter)

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
    for layer, output, part in _with_parts(group, outputs, inner):
        output.addmm_(part, layer.up.to(dtype).T, alpha=layer.scaling)
    return outputs, inner


def project_backward(
    group: Group, grads: Sequence[Tensor], inputs: Tensor, inner: Tensor | None, seed: int, gradients: Gradients
) -> Tensor:
    """The gradient of inputs, (N, I); those of what is trained are entered into `gradients`.

    grads: (N, O) for each layer, in the type of the inputs.
    """
    dtype = inputs.dtype
    total: Tensor | None = None
    for layer, grad in zip(group.layers, grads, strict=True):
        matrix = layer.read(dtype)
        total = grad @ matrix if total is None else total.addmm_(grad, matrix)
        _enter_dense(layer, grad, inputs, gradients)
    assert total is not None  # a group has a layer
    if inner is None:
        return total
    by_inner = torch.empty_like(inner)
    for adapter, grad, part, by_part in _with_grads(group, grads, inner, by_inner):
        torch.mm(grad, adapter.up.to(dtype), out=by_part).mul_(adapter.scaling)
        gradients[id(adapter.up)] = (grad.T @ part).float().mul_(adapter.scaling)
    by_down = (by_inner.T @ _dropped(group, inputs, seed)).float()
    for adapter, rows in zip(group.adapters, by_down.split([a.down.shape[0] for a in group.adapters]), strict=True):
        gradients[id(adapter.down)] = rows
    downs = _downs(group, dtype)
    if group.dropout == 0:
        return total.addmm_(by_inner, downs)
    return ops.dropout(by_inner @ downs, group.dropout, seed, add_to=total)


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


def _with_parts(group: Group, outputs: Sequence[Tensor], inner: Tensor) -> list[tuple[Adapter, Tensor, Tensor]]:
    pairs = [(layer.adapter, output) for layer, output in zip(group.layers, outputs, strict=True) if layer.adapter]
    parts = inner.split([adapter.down.shape[0] for adapter, _ in pairs], dim=1)
    return [(adapter, output, part) for (adapter, output), part in zip(pairs, parts, strict=True)]


def _with_grads(
    group: Group, grads: Sequence[Tensor], inner: Tensor, by_inner: Tensor
) -> list[tuple[Adapter, Tensor, Tensor, Tensor]]:
    sizes = [adapter.down.shape[0] for adapter in group.adapters]
    triples = _with_parts(group, grads, inner)
    return [(*triple, part) for triple, part in zip(triples, by_inner.split(sizes, dim=1), strict=True)]


def ordered(trained: Sequence[Tensor], gradients: Mapping[int, Tensor]) -> list[Tensor | None]:
    """The gradients in the order of `trained`."""
    return [gradients.get(id(tensor)) for tensor in trained]
