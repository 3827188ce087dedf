"""An adapter merged into its base: loaded anew, checked after reading it back, and only then put in place."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from autotrain import log
from autotrain.base_models import ModelSource, is_reward_model
from autotrain.errors import RunFolderError, TrainingError
from autotrain.models.embeddings import num_rows, set_num_rows
from autotrain.output import bases
from autotrain.output.ends import generation_config_of, with_ends
from autotrain.output.older_readers import name_rotary_settings
from autotrain.output.place import move_in, sync_files, sync_folder, temporary_folder

ADAPTER_SUBFOLDER = "adapter"
# Largest accepted |merged - (base + adapter)| / |base + adapter| of centred logits: rounding of the merged weights.
_TOLERANCE = MappingProxyType({torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 8e-2})
_READ_BACK_TOLERANCE = 1e-5
_NUM_PROBE_ROWS, _NUM_PROBE_TOKENS = 2, 48
_NUM_SCORED_ROWS = 16  # one number each


@dataclass(frozen=True)
class _Merged:
    """The merged model, and what base + adapter gave for the probe before merging.

    expected: logits (rows, tokens, V); of a reward model scores (rows, 1).
    """

    model: PreTrainedModel
    probe: Tensor  # (rows, tokens) token ids
    expected: Tensor


def merge_adapter(
    base: ModelSource,
    adapter_folder: Path,
    output_folder: Path,
    *,
    token: str | None = None,
    pad_to_multiple_of: int | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Merge a saved adapter into `base` and write a plain model folder.

    The base is loaded anew, never taken from memory: merging into a live 4-bit model corrupts it.  dtype None: the
    base's own.  The vocabulary keeps the base's rows and grows to the adapter's tokenizer, then to the multiple.
    The merged model is read back and compared with base + adapter before anything is replaced.  If both folders are
    the same, the adapter moves to its subfolder `adapter/`.  Raises ModelError, RunFolderError or TrainingError; the
    adapter is then untouched.
    """
    is_in_place = adapter_folder.resolve() == output_folder.resolve()
    if not is_in_place and output_folder.exists() and (not output_folder.is_dir() or any(output_folder.iterdir())):
        raise RunFolderError(f"{output_folder} exists and isn't an empty folder; choose another --output-folder")
    adapter = bases.read_adapter(adapter_folder)
    tokenizer = bases.load_tokenizer(adapter_folder, base, token)
    merged = _merge(base, adapter, tokenizer, token=token, multiple=pad_to_multiple_of, dtype=dtype)
    with temporary_folder(output_folder if is_in_place else output_folder.absolute().parent, "merge") as temporary:
        _write(merged.model, adapter_folder, tokenizer, temporary)
        _check_read_back(merged, ModelSource(str(temporary), trusts_code=base.trusts_code))
        sync_files(temporary)
        if is_in_place:
            _replace_adapter(temporary, adapter_folder)
        else:
            temporary.replace(output_folder)
            sync_folder(output_folder.absolute().parent)


def _merge(
    base: ModelSource,
    adapter: bases.Adapter,
    tokenizer: Any,
    *,
    token: str | None,
    multiple: int | None,
    dtype: torch.dtype | None,
) -> _Merged:
    model = bases.load_base(base, dtype=dtype, token=token, has_scores=adapter.has_scores)
    base_rows = num_rows(model)
    if adapter.has_scores:
        bases.set_pad(model, tokenizer)
    with_adapter = bases.attach(model, adapter, len(tokenizer))
    num_probe_rows = _NUM_SCORED_ROWS if adapter.has_scores else _NUM_PROBE_ROWS
    probe = _probe_ids(num_probe_rows, min(len(tokenizer), num_rows(model)), adapter.token_ids)
    expected = _logits(with_adapter, probe)
    plain = _merge_weights(with_adapter, adapter.folder)
    rows = max(base_rows, num_rows(plain), len(tokenizer))
    set_num_rows(plain, _round_up(rows, multiple))
    error = _difference(_logits(plain, probe), expected)
    limit = _TOLERANCE.get(plain.dtype, _READ_BACK_TOLERANCE)
    if not error <= limit:
        raise TrainingError(
            f"merging failed its check: the merged model's output is {error:.2g} away from base + adapter "
            f"(at most {limit:.2g} is rounding); the adapter in {adapter.folder} is unchanged"
        )
    log.info(f"merged: its output differs from base + adapter by {error:.1e} (relative, {plain.dtype})")
    return _Merged(plain, probe, _logits(plain, probe))


def _merge_weights(with_adapter: PeftModel, folder: Path) -> PreTrainedModel:
    try:
        return with_adapter.merge_and_unload(safe_merge=True)
    except ValueError as error:  # PEFT found NaN or infinity
        raise TrainingError(f"the adapter in {folder} can't be merged: {error}; it is unchanged") from error


def _write(model: PreTrainedModel, adapter_folder: Path, tokenizer: Any, folder: Path) -> None:
    if model.can_generate():
        saved = adapter_folder / "generation_config.json"
        config = GenerationConfig.from_pretrained(adapter_folder) if saved.is_file() else generation_config_of(model)
        model.generation_config = with_ends(config, tokenizer)
    model.save_pretrained(str(folder))
    name_rotary_settings(folder)
    tokenizer.save_pretrained(str(folder))


def _check_read_back(merged: _Merged, saved: ModelSource) -> None:
    """Read what was saved as a user would, and compare.  Raises TrainingError."""
    written = bases.load_base(saved, dtype=None, has_scores=is_reward_model(Path(saved.path)))
    error = _difference(_logits(written, merged.probe), merged.expected)
    if not error <= _READ_BACK_TOLERANCE:
        raise TrainingError(f"the merged model reads back differently (by {error:.2g}); the adapter is unchanged")


def _replace_adapter(temporary: Path, folder: Path) -> None:
    """Put the merged files in place and move the adapter to its subfolder; loadable after each step."""
    kept = folder / ADAPTER_SUBFOLDER
    shutil.rmtree(kept, ignore_errors=True)
    with temporary_folder(folder, "adapter") as copy:
        for path in folder.iterdir():
            if path.is_file() and path.name.startswith(("adapter_", "tokenizer", "chat_template", "generation_config")):
                shutil.copy2(path, copy / path.name)
        sync_files(copy)
        copy.replace(kept)
    move_in(temporary, folder)
    # As long as adapter_config.json stands here, loaders take base + adapter; without it, the merged model.
    (folder / bases.ADAPTER_CONFIG).unlink()
    (folder / bases.ADAPTER_WEIGHTS).unlink()
    sync_folder(folder)


def _probe_ids(num_rows: int, vocabulary_size: int, token_ids: tuple[int, ...]) -> Tensor:
    """Random ids (rows, tokens) below `vocabulary_size`, each trained token among them."""
    generator = torch.Generator().manual_seed(0)
    probe = torch.randint(vocabulary_size, (num_rows, _NUM_PROBE_TOKENS), generator=generator)
    trained = torch.tensor(token_ids[: _NUM_PROBE_TOKENS // 2], dtype=probe.dtype)
    probe[0, 1 : 1 + len(trained)] = trained
    return probe


@torch.no_grad()
def _logits(model: PreTrainedModel | PeftModel, ids: Tensor) -> Tensor:
    return model(input_ids=ids, use_cache=False).logits.float()


def _difference(logits: Tensor, expected: Tensor) -> float:
    """Relative distance of centred logits over the columns that both have; NaN if either has one.

    Of scores, a column, the centre is their mean over the rows.
    """
    along = 0 if expected.dim() == 2 else -1
    width = min(logits.shape[-1], expected.shape[-1])
    logits, expected = logits[..., :width], expected[..., :width]
    centred = expected - expected.mean(dim=along, keepdim=True)
    distance = (logits - logits.mean(dim=along, keepdim=True) - centred).norm() / centred.norm()
    return float(distance)


def _round_up(number: int, multiple: int | None) -> int:
    return number if not multiple else -(-number // multiple) * multiple
