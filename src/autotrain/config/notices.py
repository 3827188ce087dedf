"""Documented fields that were set and have no effect in this run, as far as the configuration alone decides."""

from collections.abc import Callable
from typing import Any

from autotrain.trainers.clm.params import LLMTrainingParams

_LORA = ("lora_r", "lora_alpha", "lora_dropout", "target_modules", "use_rslora", "use_dora", "merge_adapter", "quantization")
_VALIDATION = ("eval_strategy", "eval_steps", "early_stopping_patience", "num_sample_prompts")
_HUB = ("username", "hub_private", "hub_revision")
_OWN_ATTENTION = "is not used; this project's own attention, which needs no padding, is used instead"
_SMOOTHED = frozenset({"sigmoid", "sigmoid_norm", "robust", "aot", "exo_pair"})
_WITHOUT_WARMUP = ("constant", "reduce_lr_on_plateau", "greedy")

# (fields, whether they are without effect, why)
_RULES: tuple[tuple[tuple[str, ...], Callable[[LLMTrainingParams], bool], str], ...] = (
    (_LORA, lambda params: not params.peft, "has no effect without peft: true"),
    (_VALIDATION, lambda params: params.valid_split is None, "has no effect without a valid_split"),
    (_HUB, lambda params: not (params.push_to_hub or params.push_checkpoints), "has no effect without push_to_hub: true"),
    (("use_flash_attention_2", "unsloth"), lambda params: True, _OWN_ATTENTION),
    (("padding",), lambda params: True, "only goes into the saved tokenizer; training doesn't depend on it"),
    (("node_rank", "master"), lambda params: params.nodes == 1, "has no effect without nodes of 2 or more"),
    (("label_smoothing",), lambda params: _SMOOTHED.isdisjoint(_loss_types(params)), "has no effect with this loss_type"),
    (("warmup_ratio",), lambda params: params.scheduler in _WITHOUT_WARMUP, "has no effect with this scheduler"),
)


def ineffective(params: LLMTrainingParams) -> list[str]:
    """One sentence for each field that the user set and that has no effect in this run."""
    found = {name: reason for name in _switched_on(params) if (reason := _reason(params, name))}
    if isinstance(params.block_size, list) and params.trainer != "default" and not params.packing:
        found["block_size"] = f"only the largest of the list counts with trainer {params.trainer}"
    return [f"{name} {reason}" for name, reason in found.items()]


def _reason(params: LLMTrainingParams, name: str) -> str | None:
    trainers = _trainers(name)
    if trainers and params.trainer not in trainers:
        return f"has no effect with trainer {params.trainer}; it is for {', '.join(trainers)}"
    return next((why for names, applies, why in _RULES if name in names and applies(params)), None)


def _loss_types(params: LLMTrainingParams) -> list[str]:
    return [params.loss_type] if isinstance(params.loss_type, str) else params.loss_type


def _switched_on(params: LLMTrainingParams) -> list[str]:
    """Fields that the user set to something, in the order of their declaration."""
    fields = type(params).model_fields
    return [name for name in fields if params.is_explicit(name) and not _is_off(getattr(params, name), fields[name].default)]


def _is_off(value: Any, default: Any) -> bool:
    return value is None or value == "no" or (value is False and default is False)


def _trainers(name: str) -> tuple[str, ...]:
    extra = LLMTrainingParams.model_fields[name].json_schema_extra
    trainers = extra.get("trainers", ()) if isinstance(extra, dict) else ()
    return tuple(str(trainer) for trainer in trainers) if isinstance(trainers, list) else ()
