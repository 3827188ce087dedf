"""The memory and the time that a run would take on this machine, estimated without loading a weight."""

from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PretrainedConfig

from autotrain import log
from autotrain.base_models import ModelSource
from autotrain.models.body import pretrained_of
from autotrain.models.planned import planned_memory, planned_model
from autotrain.objectives.base import Objective
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Data, Machine
from autotrain.trainers.clm.record import device_name
from autotrain.training.floor import Amount, training_flops
from autotrain.training.forecast import find_largest, forecast
from autotrain.training.optim import state_bytes
from autotrain.training.peak import current_bytes
from autotrain.training.plan import plan_memory, total_memory_bytes
from autotrain.training.rate import matmul_rate_at, shapes_of_model

# Of what the machine's products alone would allow, training reaches about this.
_REACHED = MappingProxyType({"cpu": 0.5, "cuda": 0.35, "mps": 0.3})


def estimate_needs(
    params: LLMTrainingParams,
    source: ModelSource,
    config: PretrainedConfig,
    objective: Objective,
    data: Data,
    machine: Machine,
) -> dict[str, Any]:
    """device, precision, num_parameters, num_trainable; memory and seconds, None where they can't be estimated."""
    device, precision = machine.device, machine.precision
    told: dict[str, Any] = {"device": device_name(device), "precision": precision.name, "quantization": machine.quantization}
    try:
        model = planned_model(
            params, source, config, precision, head=objective.head, new_token_ids=data.tokenizer.new_token_ids
        )
    except (RuntimeError, ValueError, NotImplementedError, ImportError) as error:
        log.record(f"what training takes can't be estimated: {error}")
        return {**told, "memory": None, "seconds": None}
    parameters = list(model.parameters())
    return {
        **told,
        "num_parameters": sum(one.numel() for one in parameters),
        "num_trainable": sum(one.numel() for one in parameters if one.requires_grad),
        "memory": _memory(params, model, config, objective, data, machine),
        "seconds": _seconds(params, model, config, objective, data, machine),
    }


def _memory(
    params: LLMTrainingParams, model: nn.Module, config: PretrainedConfig, objective: Objective, data: Data, machine: Machine
) -> dict[str, int]:
    """peak_bytes of total_bytes."""
    kind, train = machine.device.type, data.train
    estimate = planned_memory(
        model,
        config,
        device_type=kind,
        precision=machine.precision,
        quantization=machine.quantization,
        trains_base=not params.peft,
        optimizer_bytes=state_bytes(params.optimizer),
    )
    total = total_memory_bytes(machine.device)
    needs_copy = objective.needs_reference and not params.precompute_reference and bool(params.model_ref or not params.peft)
    other = estimate.weights if needs_copy else 0
    plan = plan_memory(
        estimate,
        device_type=kind,
        total_bytes=total,
        other_bytes=other,
        longest_example=data.longest_example,
        may_checkpoint=not params.disable_gradient_checkpointing,
        search=params.auto_find_batch_size,
    )
    rows_a_step = params.batch_size * params.gradient_accumulation
    largest = find_largest(train.num_tokens, train.num_trained, plan.token_budget, rows_a_step)
    loaded = estimate.weights + other + (current_bytes(machine.device) if kind == "cpu" else 0)
    expected = forecast(
        estimate,
        largest,
        device_type=kind,
        fast_layers=kind == "cpu",
        num_checkpointed=plan.num_checkpointed_layers,
        num_steps=data.batches.total_steps,
        loaded_bytes=loaded,
        peak_so_far_bytes=0,
    )
    return {"peak_bytes": expected.peak_bytes, "total_bytes": total}


def _seconds(
    params: LLMTrainingParams, model: nn.Module, config: PretrainedConfig, objective: Objective, data: Data, machine: Machine
) -> float | None:
    """Of all steps, validation not counted: operations over what this machine reaches."""
    shapes = shapes_of_model(pretrained_of(model))
    if shapes is None:
        return None
    lengths = data.train.num_tokens.astype(np.float64)
    attended = int((lengths * (lengths + 1) / 2).sum())
    amount = Amount(int(lengths.sum()), int(data.train.num_trained.sum()), attended)
    flops = training_flops(shapes, amount, trains_base=not params.peft, has_reference=objective.needs_reference)
    with torch.no_grad():
        rate = matmul_rate_at(config, machine.device, machine.precision.compute)
    return params.epochs * flops / (rate * _REACHED.get(machine.device.type, _REACHED["cpu"]))
