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

    def parts(self, inner: Tensor | None) -> list[Tensor | None]:
        """Of (N, R) each layer's own (N, r), None where it has no adapter."""
        found = iter(() if inner is None else inner.split(self.ranks, dim=1))
        return [next(found, None) if layer.adapter else None for layer in self.layers]

    def trained(self) -> list[Tensor]:
        """What gradients are made for."""
        found = [tensor for layer in self.layers for tensor in (layer.matrix, layer.bias) if tensor is not None]
        found += [matrix for adapter in self.adapters for matrix in (adapter.down, adapter.up)]
        return [tensor for tensor in found if tensor.requires_grad]


Gradients = dict[int, Tensor]  # by id of the parameter


def project(group: Group, inputs: Tensor, seed: int) -> tuple[list[Tensor], Tensor | None]:
    """What each layer makes of inputs (N, I), and (N, R) what the adapters made on the way, for `project_backward`."""
    if not group.adapters:
        return [_dense(layer, inputs) for layer in group.layers], None
    inner = ops.lora_shrink(_dropped(group, inputs, seed), _downs(group))
    outputs: list[Tensor] = []
    for layer, part in zip(group.layers, group.parts(inner), strict=True):
        output = _dense(layer, inputs)
        if layer.adapter is not None and part is not None:
            ops.lora_expand_(output, part, layer.adapter.up.T, layer.adapter.scaling)
        outputs.append(output)
    return outputs, inner


def project_backward(
    group: Group, grads: Sequence[Tensor], inputs: Tensor, inner: Tensor | None, seed: int, gradients: Gradients
) -> Tensor:
    """The gradient of inputs, (N, I); those of what is trained are entered into `gradients`.

    grads: (N, O) for each layer, in the type of the inputs.
    """
    total, by_inner = project_back(group, grads, inner, seed, gradients)
    enter_gradients(group, grads, inputs, by_inner, seed, gradients)
    return total


def project_back(
    group: Group, grads: Sequence[Tensor], inner: Tensor | None, seed: int, gradients: Gradients
) -> tuple[Tensor, Tensor | None]:
    """The gradients of the inputs, (N, I), and of what the adapters made on the way, (N, R).

    Those of the matrices that the adapters end with are entered.
    """
    dtype = grads[0].dtype
    by_inner = None if inner is None else torch.empty_like(inner)
    total: Tensor | None = None
    for layer, grad, part, by_part in zip(group.layers, grads, group.parts(inner), group.parts(by_inner), strict=True):
        total = grad @ layer.read(dtype) if total is None else total.addmm_(grad, layer.read(dtype))
        if layer.adapter is not None and part is not None:
            up = layer.adapter.up
            gradients[id(up)] = ops.lora_backward(grad, part, up.T, layer.adapter.scaling, by_part).T
    assert total is not None
    if by_inner is None:
        return total, None
    downs = _downs(group)
    if group.dropout == 0:
        return ops.lora_expand_(total, by_inner, downs), by_inner
    return ops.dropout(by_inner @ downs.to(dtype), group.dropout, seed, add_to=total), by_inner


def enter_gradients(
    group: Group, grads: Sequence[Tensor], inputs: Tensor, by_inner: Tensor | None, seed: int, gradients: Gradients
) -> None:
    """Enter the gradients of what the inputs are multiplied with.  by_inner: from `project_back`."""
    for layer, grad in zip(group.layers, grads, strict=True):
        _enter_dense(layer, grad, inputs, gradients)
    if by_inner is None:
        return
    by_downs = ops.lora_backward(_dropped(group, inputs, seed), by_inner, _downs(group))
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


def _downs(group: Group) -> Tensor:
    """(R, I)."""
    downs = [adapter.down.detach() for adapter in group.adapters]
    return downs[0] if len(downs) == 1 else torch.cat(downs)


def ordered(trained: Sequence[Tensor], gradients: Mapping[int, Tensor]) -> list[Tensor | None]:
    """The gradients in the order of `trained`."""
    return [gradients.get(id(tensor)) for tensor in trained]
