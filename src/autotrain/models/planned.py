"""A model without weights: built from its configuration alone, to plan with."""

from dataclasses import replace

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PretrainedConfig

from autotrain.base_models import ModelSource
from autotrain.models.adapters import add_adapter
from autotrain.models.kernels.library import has_compiler
from autotrain.models.load import Head
from autotrain.models.memory import ADAM_BYTES, Computation, MemoryEstimate, estimate_memory
from autotrain.models.precision import Precision
from autotrain.models.quantize import Quantization
from autotrain.models.score import with_one_score
from autotrain.trainers.clm.params import LLMTrainingParams

# Of a weight held in 4 or 8 bits, with what it is scaled by.
_QUANTIZED_BYTES = {"int4": 0.53, "int8": 1.01}


def planned_model(
    params: LLMTrainingParams,
    source: ModelSource,
    config: PretrainedConfig,
    precision: Precision,
    *,
    head: Head = "causal",
    new_token_ids: tuple[int, ...] = (),
) -> nn.Module:
    """The model that `load_model` would train, its parameters without storage.  Raises ModelError for unknown layers."""
    dtype = precision.compute if params.peft else torch.float32
    kind = AutoModelForSequenceClassification if head == "score" else AutoModelForCausalLM
    made = with_one_score(config, None) if head == "score" else config
    trusts = bool(source.load_arguments["trust_remote_code"])
    with torch.device("meta"):
        model = kind.from_config(made, dtype=dtype, trust_remote_code=trusts)
        model.tie_weights()
        return add_adapter(model, params, new_token_ids, has_scores=head == "score") if params.peft else model


def planned_memory(
    model: nn.Module,
    config: PretrainedConfig,
    *,
    device_type: str,
    precision: Precision,
    quantization: Quantization | None,
    trains_base: bool,
    optimizer_bytes: int = ADAM_BYTES,
) -> MemoryEstimate:
    """What training it takes, fast layers where this is a processor."""
    size = torch.empty(0, dtype=precision.compute).element_size()
    is_cpu = device_type == "cpu"
    computation = Computation(device_type, size, is_cpu, trains_base, optimizer_bytes, not is_cpu or has_compiler())
    estimate = estimate_memory(model, config, computation)
    if quantization is None:
        return estimate
    saved = sum(
        module.weight.numel() * (module.weight.element_size() - _QUANTIZED_BYTES[quantization])
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".lora_" not in name and not name.endswith(("lm_head", "score"))
    )
    return replace(estimate, weights=estimate.weights - int(saved))
