"""LoRA adapters: put on, checked, saved."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from autotrain.config.base import nearest
from autotrain.errors import ModelError
from autotrain.models.dropout import quicken_dropout
from autotrain.models.fast.switch import NONE, FastPaths
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from peft import PeftModel


def add_adapter(
    model: PreTrainedModel,
    params: LLMTrainingParams,
    new_token_ids: Sequence[int] = (),
    *,
    has_scores: bool = False,
    fast: FastPaths = NONE,
) -> "PeftModel":
    """Freeze `model` and put a LoRA adapter on it; its parameters, in float32, are all that is trained.

    new_token_ids: tokens whose embedding rows are trained too.  has_scores: the model's score head is trained too, and is
    saved with the adapter.  fast: whether its layers may be ours.  Raises ModelError for layers that don't exist.
    """
    from peft import LoraConfig, PeftModel, TaskType, get_peft_model

    from autotrain.models.fast.lora import install

    config = LoraConfig(
        task_type=TaskType.SEQ_CLS if has_scores else TaskType.CAUSAL_LM,  # of SEQ_CLS, PEFT trains and saves the head
        r=params.lora_r,
        lora_alpha=params.lora_alpha,
        lora_dropout=params.lora_dropout,
        target_modules=_checked_targets(model, params.target_module_names),
        use_rslora=params.use_rslora,
        use_dora=params.use_dora,
        bias="none",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        trainable_token_indices=_trained_rows(model, new_token_ids) or None,
    )
    if fast.lora and "quantization_config" not in model.config.to_dict() and model.device.type == "cpu":
        install(config)
    with warnings.catch_warnings():  # PEFT asks the model in a way that transformers has deprecated
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        adapted = get_peft_model(model, config)
    assert isinstance(adapted, PeftModel)
    quicken_dropout(adapted)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return adapted


def leave_casting_to_autocast(model: "PeftModel") -> None:
    """PEFT would cast every layer's input to the adapter's float32, for autocast to cast it back."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False  # pyright: ignore[reportArgumentType,reportAttributeAccessIssue]


def linear_layer_names(model: nn.Module) -> list[str]:
    """Last parts of the names of the layers that can take an adapter."""
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)}
    return sorted(names)


def _checked_targets(model: nn.Module, targets: str | list[str]) -> str | list[str]:
    if isinstance(targets, str):
        return targets
    able = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D | nn.Embedding)]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in able):
            known = linear_layer_names(model)
            guess = nearest(target, known)
            hint = f"did you mean {guess}? " if guess else ""
            raise ModelError(
                f"target_modules: this model has no layer {target}; {hint}"
                f"Its linear layers: {', '.join(known)}; or say all-linear"
            )
    return targets


def _trained_rows(model: PreTrainedModel, ids: Sequence[int]) -> dict[str, list[int]]:
    """Rows to train, by module; a head with a matrix of its own has its own rows, a tied one shares the input's."""
    if not ids:
        return {}
    head = model.get_output_embeddings()
    modules: list[nn.Module] = [model.get_input_embeddings()]
    if head is not None and head.weight is not modules[0].weight:
        modules.append(head)
    names = {id(module): name for name, module in model.named_modules()}
    return {names[id(module)].rpartition(".")[2]: list(ids) for module in modules}
