"""Base models, adapters and tokenizers read from disk or the hub, for everything that is made after training."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import safe_open
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
)

from autotrain.base_models import ModelSource, find_model
from autotrain.errors import ModelError
from autotrain.models.embeddings import num_rows, set_num_rows
from autotrain.models.failures import explained

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TOKENIZER_CONFIG = "tokenizer_config.json"
_TEXT_TASK, SCORE_TASK = "CAUSAL_LM", "SEQ_CLS"


@dataclass(frozen=True)
class Adapter:
    """A saved adapter: where it lies, what it was trained on, the token ids whose rows it carries.

    has_scores: it is a reward model's, and carries the score head.
    """

    folder: Path
    base: str | None
    token_ids: tuple[int, ...]
    has_scores: bool = False


def read_adapter(folder: Path) -> Adapter:
    """Read an adapter's description.  Raises ModelError where there is none, or one for another kind of model."""
    path = folder / ADAPTER_CONFIG
    if not path.is_file():
        raise ModelError(f"no {ADAPTER_CONFIG} in {folder}; give the folder of a run that was trained with peft: true")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(f"no {ADAPTER_WEIGHTS} in {folder}; the adapter is incomplete")
    config = _read_json(path)
    task = config.get("task_type")
    if task not in (None, _TEXT_TASK, SCORE_TASK):
        raise ModelError(f"{path}: an adapter of type {task}; only {_TEXT_TASK} and {SCORE_TASK} adapters can be used here")
    indices = config.get("trainable_token_indices") or []
    lists = indices.values() if isinstance(indices, dict) else [indices]
    token_ids = tuple(sorted({index for ids in lists for index in ids}))
    return Adapter(folder, config.get("base_model_name_or_path"), token_ids, has_scores=task == SCORE_TASK)


def base_of(adapter: Adapter) -> ModelSource:
    """The base that the adapter's own config names."""
    if not adapter.base:
        raise ModelError(f"{adapter.folder / ADAPTER_CONFIG} names no base model; give --base-model-path")
    return find_model(adapter.base)


def load_base(
    source: ModelSource, *, dtype: torch.dtype | None, token: str | None = None, has_scores: bool = False
) -> PreTrainedModel:
    """Load a whole model, dense, on the CPU, in eval mode.  dtype None: the precision it was stored in.

    has_scores: with a head of one score, which is made anew where the model has none.  Raises ModelError with the
    reason and what to do.
    """
    arguments: dict[str, Any] = source.weight_arguments
    loader = AutoModelForCausalLM
    if has_scores:
        loader = AutoModelForSequenceClassification
        arguments |= {"num_labels": 1, "ignore_mismatched_sizes": True}
    if source.gguf_file:
        # Without it transformers may keep the blocks packed, and refuses to save the model.
        arguments["quantization_config"] = GgufConfig(dequantize=True)
    with explained(source.path):
        model = loader.from_pretrained(source.path, dtype=dtype or "auto", token=token, **arguments)
    return model.eval()


def load_tokenizer(folder: Path | None, source: ModelSource, token: str | None = None) -> Any:
    """The tokenizer saved in `folder`, or else that of the model.  Raises ModelError."""
    is_saved = folder is not None and (folder / TOKENIZER_CONFIG).is_file()
    saved = ModelSource(str(folder), trusts_code=source.trusts_code) if is_saved else source
    with explained(saved.path):
        return AutoTokenizer.from_pretrained(saved.path, token=token, **saved.load_arguments)


def attach(model: PreTrainedModel, adapter: Adapter, num_tokens: int) -> PeftModel:
    """Put a saved adapter onto `model`, whose embeddings are given the rows that it needs first.

    num_tokens: size of the adapter's tokenizer.  Rows beyond it are kept (a padded vocabulary), unless the adapter
    carries whole embedding matrices: then theirs is the only number of rows that fits.
    """
    needed = max([num_tokens, *(index + 1 for index in adapter.token_ids)])
    set_num_rows(model, _rows_in(adapter, model) or max(needed, num_rows(model)))
    try:
        return PeftModel.from_pretrained(model, str(adapter.folder)).eval()
    except (RuntimeError, ValueError, OSError, LookupError) as error:
        raise ModelError(f"the adapter in {adapter.folder} doesn't fit its base model: {_first_line(error)}") from error


def set_pad(model: PreTrainedModel, tokenizer: Any) -> None:
    """Let `model` read scores before the token that its tokenizer pads with; an adapter has no configuration to say so."""
    if tokenizer.pad_token_id is not None:
        model.config.pad_token_id = model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def _rows_in(adapter: Adapter, model: PreTrainedModel) -> int | None:
    """Vocabulary rows of the matrices that the adapter carries for the embeddings or the head; None: it carries none."""
    vocabulary = (model.get_input_embeddings(), model.get_output_embeddings())
    names = [name for name, module in model.named_modules() if _is_one_of(module, vocabulary)]
    with safe_open(adapter.folder / ADAPTER_WEIGHTS, framework="pt") as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 (no mapping)
    for key, shape in shapes.items():
        for name in names:
            if key.endswith((f".{name}.weight", f".{name}.lora_B.weight", f".{name}.lora_embedding_A")):
                return shape[1] if key.endswith("lora_embedding_A") else shape[0]
    return None


def _is_one_of(module: nn.Module, modules: tuple[nn.Module | None, ...]) -> bool:
    return any(module is other for other in modules)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is no valid JSON: {error}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
