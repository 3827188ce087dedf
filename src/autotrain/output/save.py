"""The result of a run: adapter or full weights, tokenizer, chat template and generation config."""

import copy
import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import PreTrainedModel

from autotrain.base_models import ModelSource
from autotrain.data.tokenizer import LoadedTokenizer
from autotrain.models.load import read_model_config
from autotrain.models.network import Network
from autotrain.models.score import SCORE_HEAD, ScorePolicy
from autotrain.output.bases import ADAPTER_CONFIG, SCORE_TASK
from autotrain.output.ends import generation_config_of, with_ends
from autotrain.output.older_readers import name_rotary_settings
from autotrain.output.place import move_in, sync_files, temporary_folder
from autotrain.run_folder import write_json
from autotrain.trainers.clm.params import LLMTrainingParams


def save_result(
    policy: Network, loaded: LoadedTokenizer, params: LLMTrainingParams, source: ModelSource, folder: Path
) -> None:
    """Write what was trained into `folder`, so that transformers and PEFT load it.

    A reward model's tokenizer pads with the token before which its scores are read.

    Files are written into a temporary folder beside, synced, and moved one by one, the configs last.
    """
    model = policy.model
    with temporary_folder(folder, "save") as temporary:
        if isinstance(model, PeftModel):
            _save_adapter(model, params, source, temporary)
        else:
            _save_weights(policy.pretrained, source, temporary)
        if isinstance(policy, ScorePolicy):
            _save_tokenizer(_padding_with(loaded.tokenizer, policy.pad_token_id), params, temporary)
        else:
            ends = with_ends(generation_config_of(policy.pretrained), loaded.tokenizer, *loaded.stop_token_ids)
            ends.save_pretrained(temporary)
            _save_tokenizer(loaded.tokenizer, params, temporary)
        sync_files(temporary)
        move_in(temporary, folder)


def base_name(params: LLMTrainingParams, source: ModelSource) -> str:
    """The base model as an adapter's config names it: a hub id as given, a local model by its absolute folder."""
    return str(Path(source.path).resolve()) if Path(source.path).is_dir() else params.model


def _save_adapter(model: PeftModel, params: LLMTrainingParams, source: ModelSource, folder: Path) -> None:
    # Whole embedding matrices are never written: rows of new tokens travel as the adapter's own tensors.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / ADAPTER_CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_name(params, source)
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()  # PEFT writes a set: its order changes from run to run
    if config.get("task_type") == SCORE_TASK:
        config["modules_to_save"] = [SCORE_HEAD]  # PEFT lists each name that a head may have
    write_json(path, config)


def _save_weights(model: PreTrainedModel, source: ModelSource, folder: Path) -> None:
    """Write all weights in the precision that the base was published in (32-bit masters are rounded to it)."""
    dtype = _stored_dtype(source) or model.dtype
    model.save_pretrained(str(folder), state_dict=_cast(model.state_dict(), dtype))
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**config, "dtype": str(dtype).removeprefix("torch.")})
    name_rotary_settings(folder)


def _stored_dtype(source: ModelSource) -> torch.dtype | None:
    dtype = read_model_config(source, None).dtype
    return dtype if isinstance(dtype, torch.dtype) else None


def _cast(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Floating tensors as `dtype` on the CPU; tensors that shared memory (tied weights) still do."""
    cast: dict[tuple[int, torch.Size], Tensor] = {}
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        key = (tensor.data_ptr(), tensor.shape)
        if key not in cast:
            cast[key] = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else tensor.dtype)
        result[name] = cast[key]
    return result


def _padding_with(tokenizer: Any, pad_token_id: int | None) -> Any:
    """A copy of the tokenizer that pads with another token."""
    changed = copy.deepcopy(tokenizer)
    if pad_token_id is not None:
        changed.pad_token = tokenizer.convert_ids_to_tokens(pad_token_id)
    return changed


def _save_tokenizer(tokenizer: Any, params: LLMTrainingParams, folder: Path) -> None:
    tokenizer.save_pretrained(str(folder))
    if params.padding is None:
        return
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**config, "padding_side": params.padding})
