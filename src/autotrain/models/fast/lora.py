"""A linear layer with LoRA as one autograd function, in place of PEFT's forward; PEFT still owns, saves and loads it.

Kept for the backward pass: the input and the adapter's inner values.  Dropout's mask is made again from its seed.
"""

from functools import partial
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Linear as PeftLinear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from autotrain.models.fast.linear import Adapter, Gradients, Group, Linear, ordered, project, project_backward
from autotrain.models.kernels import ops
from autotrain.models.precision import compute_dtype


class FastLoraLinear(PeftLinear):
    """PEFT's own wherever more is asked for than one plain adapter."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args or kwargs or not is_one_plain_adapter(self):
            return super().forward(x, *args, **kwargs)
        group = Group((read_linear(self),), read_dropout(self))
        seed = int(torch.randint(2**40, (1,))) if group.dropout else 0
        rows = x.to(compute_dtype(x)).flatten(0, -2)  # (N, I)
        output: Tensor = _Project.apply(rows, group, seed, *group.trained())  # pyright: ignore[reportAssignmentType]
        return output.view(*x.shape[:-1], -1)


def install(config: LoraConfig) -> None:
    """Have PEFT put our layer on dense linear layers.  The setting isn't saved with the adapter."""
    config._register_custom_module({nn.Linear: FastLoraLinear})  # pyright: ignore[reportPrivateUsage]


def is_one_plain_adapter(module: Any) -> bool:
    """Whether `module`, a LoRA layer of PEFT's, computes a linear layer plus one plain adapter and nothing more."""
    is_plain = is_linear(module.base_layer) and list(module.lora_A) == ["default"] and not module.lora_variant
    return is_plain and not module.disable_adapters and not module.merged and module.active_adapters == ["default"]


def is_linear(module: Any) -> bool:
    """A dense linear layer, or one that bitsandbytes holds in 4 bits."""
    return type(module) is nn.Linear or _is_4bit(module)


def _is_4bit(module: Any) -> bool:
    return type(module).__name__ == "Linear4bit" and type(module).__module__.startswith("bitsandbytes.")


def read_linear(module: Any) -> Linear:
    """What a linear layer computes as it stands, alone or under an adapter."""
    base = module if is_linear(module) else module.base_layer
    read = partial(_unpacked, base.weight) if _is_4bit(base) else base.weight.to
    adapter = None
    if base is not module and is_one_plain_adapter(module):
        down, up = module.lora_A["default"].weight, module.lora_B["default"].weight
        adapter = Adapter(down, up, module.scaling["default"])
    return Linear(read, base.weight, base.bias, adapter)


def _unpacked(weight: Any, dtype: torch.dtype) -> Tensor:
    """(O, I) of a weight in 4 bits: made at each use, so that no more than one layer is dense at a time."""
    return ops.dequantize_4bit(weight.data, weight.quant_state, torch.empty(weight.quant_state.shape, dtype=dtype))


def read_dropout(module: Any) -> float:
    """The dropout of a layer's adapter as it stands, 0 in evaluation."""
    if is_linear(module) or module.disable_adapters or not module.training:
        return 0.0
    dropout = module.lora_dropout["default"]
    return float(dropout.p) if isinstance(dropout, nn.Dropout) else 0.0


class _Project(torch.autograd.Function):
    """`project` of a group of one layer, for autograd."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, group: Group, seed: int, *trained: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            (output,), inner = project(group, inputs, seed)
        ctx.group, ctx.seed, ctx.trained, ctx.inner = group, seed, trained, inner
        ctx.save_for_backward(inputs)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (inputs,) = ctx.saved_tensors
        gradients: Gradients = {}
        by_inputs = project_backward(ctx.group, grad_outputs, inputs, ctx.inner, ctx.seed, gradients)
        return (by_inputs, None, None, *ordered(ctx.trained, gradients))
