"""Optimizers and schedules by their Hugging Face names, borrowed from torch, transformers and bitsandbytes."""

import importlib
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from autotrain.errors import ConfigError, DeviceError
from autotrain.trainers.clm.params import LLMTrainingParams

# They update the weights inside the backward pass, so a step could not be cut into micro-batches.
INSIDE_BACKWARD = frozenset(
    {
        "lomo",
        "adalomo",
        "galore_adamw_layerwise",
        "galore_adamw_8bit_layerwise",
        "galore_adafactor_layerwise",
        "apollo_adamw_layerwise",
    }
)

# Schedules of transformers that can't do without an argument; shares are of the highest learning rate.
_SCHEDULE_ARGUMENTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"cosine_with_min_lr": {"min_lr_rate": 0.1}, "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1}}
)


def check_optimizer(params: LLMTrainingParams, device: torch.device) -> None:
    """Refuse an optimizer that can't serve here, before anything is loaded.  Raises ConfigError, DeviceError."""
    name = params.optimizer
    if name in INSIDE_BACKWARD:
        raise ConfigError(
            f"optimizer: {name} updates weights inside the backward pass, which doesn't go with steps of several batches; "
            "take adamw_torch, adafactor or adamw_8bit"
        )
    if name.startswith("schedule_free"):
        raise ConfigError(f"optimizer: {name} keeps two sets of weights, which checkpoints here don't; take adamw_torch")
    if name.startswith("paged") and device.type != "cuda":
        raise DeviceError(f"optimizer: {name} pages memory of an NVIDIA GPU and there is none here; take adamw_torch")
    if name in _BITSANDBYTES:
        _bitsandbytes()


# Where it isn't two values in float32, as Adam keeps: (part of the name, bytes for each trained weight).
_STATE_BYTES = (("lion_8bit", 1), ("rmsprop_bnb_8bit", 1), ("ademamix_8bit", 3), ("8bit", 2), ("ademamix", 12))
_STATE_BYTES_OF: Mapping[str, int] = MappingProxyType(
    {"sgd": 0, "adagrad": 4, "rmsprop": 4, "adafactor": 0, "lion_32bit": 4, "paged_lion_32bit": 4}
)


def state_bytes(name: str) -> int:
    """About what the optimizer keeps for each trained weight, in bytes."""
    if name in _STATE_BYTES_OF:
        return _STATE_BYTES_OF[name]
    return next((size for part, size in _STATE_BYTES if part in name), 8)


def build_optimizer(module: nn.Module, params: LLMTrainingParams) -> Optimizer:
    """The optimizer over the trainable parameters of `module`; norms and biases get no weight decay."""
    groups = _parameter_groups(module, params.weight_decay)
    name = params.optimizer
    if name in _BITSANDBYTES:
        class_name, arguments = _BITSANDBYTES[name]
        return getattr(_bitsandbytes().optim, class_name)(groups, lr=params.lr, **arguments)
    if name in ("adamw_torch", "adamw_torch_fused"):
        return torch.optim.AdamW(groups, lr=params.lr, betas=(0.9, 0.999), eps=1e-8, fused=True)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=params.lr)
    if name == "adagrad":
        return torch.optim.Adagrad(groups, lr=params.lr)
    if name == "rmsprop":
        return torch.optim.RMSprop(groups, lr=params.lr)
    if name == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(groups, lr=params.lr, scale_parameter=False, relative_step=False)
    return _borrowed(name, module, groups, params)


def _parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in trainable if parameter.ndim >= 2]
    plain = [parameter for parameter in trainable if parameter.ndim < 2]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


# Name -> (class in bitsandbytes.optim, its arguments).
_BITSANDBYTES: Mapping[str, tuple[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "adamw_8bit": ("AdamW8bit", {}),
        "adamw_bnb_8bit": ("AdamW8bit", {}),
        "paged_adamw_8bit": ("PagedAdamW8bit", {}),
        "paged_adamw_32bit": ("PagedAdamW32bit", {}),
        "ademamix": ("AdEMAMix", {}),
        "ademamix_8bit": ("AdEMAMix8bit", {}),
        "paged_ademamix_32bit": ("PagedAdEMAMix32bit", {}),
        "paged_ademamix_8bit": ("PagedAdEMAMix8bit", {}),
        "lion_32bit": ("Lion32bit", {}),
        "lion_8bit": ("Lion8bit", {}),
        "paged_lion_32bit": ("PagedLion32bit", {}),
        "paged_lion_8bit": ("PagedLion8bit", {}),
        "rmsprop_bnb": ("RMSprop", {}),
        "rmsprop_bnb_8bit": ("RMSprop8bit", {}),
        "rmsprop_bnb_32bit": ("RMSprop32bit", {}),
    }
)


def _bitsandbytes() -> Any:
    try:
        return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise DeviceError(
            "optimizer: this one comes with bitsandbytes, which isn't installed: pip install 'autotrain-llm[quant]', "
            "or take optimizer: adamw_torch"
        ) from error


def _borrowed(name: str, module: nn.Module, groups: list[dict[str, Any]], params: LLMTrainingParams) -> Optimizer:
    """Any other optimizer, built as transformers' Trainer would build it."""
    from transformers import PreTrainedModel, Trainer, TrainingArguments

    arguments = TrainingArguments("unused", optim=name, learning_rate=params.lr, optim_target_modules="all-linear")
    try:
        optimizer_class, values = Trainer.get_optimizer_cls_and_kwargs(arguments, cast(PreTrainedModel, module))
    except (ImportError, ValueError) as error:
        raise ConfigError(f"optimizer: {name} can't be had here: {error}") from error
    groups = values.pop("optimizer_dict", None) or values.pop("params", None) or groups
    return optimizer_class(groups, **values)


def build_schedule(optimizer: Optimizer, params: LLMTrainingParams, num_steps: int) -> Any:
    """The learning-rate schedule over `num_steps` optimizer steps."""
    from transformers.optimization import get_scheduler

    name = params.scheduler
    # A warmup begins at 0: a run of one step would train nothing.
    num_warmup = math.ceil(params.warmup_ratio * num_steps) if num_steps > 1 else 0
    arguments = dict(_SCHEDULE_ARGUMENTS.get(name, {}))
    if name == "warmup_stable_decay":
        arguments["num_decay_steps"] = max(1, (num_steps - num_warmup) // 5)
    return get_scheduler(name, optimizer, num_warmup, num_steps, scheduler_specific_kwargs=arguments)


def advance_after_step(schedule: Any, name: str, loss: float) -> None:
    """Move the schedule on after an optimizer step; `greedy` looks at the step's loss."""
    if name == "greedy":
        schedule.step(loss)
    elif name != "reduce_lr_on_plateau":
        schedule.step()


def advance_after_validation(schedule: Any, name: str, eval_loss: float) -> None:
    """Move the schedule on after a validation: only `reduce_lr_on_plateau` looks at it."""
    if name == "reduce_lr_on_plateau":
        schedule.step(eval_loss)
