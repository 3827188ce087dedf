"""Tokenized data kept from one run to the next, found again by what they were made from.

A folder for each split, named after a digest of the data's content, the tokenizer, the template, the settings that decide
tokens, and the code that makes them.  It appears whole or not at all, and is only trusted if its sizes and its
header are as they were written.  It holds what the data say, so only its owner can read it.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import tokenizers
import transformers

from autotrain import log
from autotrain.data.lengths import Lengths
from autotrain.data.report import RowsReport
from autotrain.data.samples import Source
from autotrain.data.store import ExampleStore
from autotrain.data.tokenizer import LoadedTokenizer
from autotrain.home import home
from autotrain.trainers.clm.params import LLMTrainingParams

VARIABLE = "AUTOTRAIN_CACHE"
MAX_BYTES = 20 << 30
# Fewer are tokenized in a blink.
MIN_EXAMPLES = 1000
_LEFTOVER_SECONDS = 24 * 3600
_HEADER, _ROWS = "header.json", "rows.jsonl"
# What is left of the settings decides which tokens come out; a field that isn't named here only costs a miss.
_WITHOUT_EFFECT = frozenset(
    "project_name data_path train_split valid_split packing padding lr epochs batch_size gradient_accumulation "
    "auto_find_batch_size optimizer scheduler warmup_ratio weight_decay max_grad_norm seed peft lora_r lora_alpha "
    "lora_dropout target_modules use_rslora use_dora merge_adapter quantization mixed_precision use_flash_attention_2 "
    "unsloth disable_gradient_checkpointing fast_paths distributed_backend devices nodes "
    "node_rank master max_restarts hang_minutes ray_address ray_resources ray_storage precompute_reference dpo_beta "
    "loss_type loss_weights label_smoothing orpo_beta simpo_beta simpo_gamma cpo_alpha kto_desirable_weight "
    "kto_undesirable_weight reward_centering log logging_steps eval_strategy eval_steps early_stopping_patience "
    "num_sample_prompts save_strategy save_steps save_total_limit max_hours push_to_hub username token model "
    "model_ref".split()
)


@dataclass(frozen=True)
class Kept:
    """A split as it was kept.  notices: what was said while it was made."""

    store: ExampleStore
    rows: RowsReport
    notices: tuple[str, ...]


def is_on() -> bool:
    """Whether the user lets data be kept."""
    return os.environ.get(VARIABLE, "").strip().lower() not in ("off", "0", "no", "none", "false")


def key_of(
    params: LLMTrainingParams, source: Source, loaded: LoadedTokenizer, lengths: Lengths, *, trains_prompt: bool
) -> str | None:
    """The name under which this split is kept; None if it isn't: switched off, or a tokenizer that can't be told apart."""
    if not is_on() or not loaded.tokenizer.is_fast:
        return None
    fields = {name: value for name, value in params.model_dump(mode="json").items() if name not in _WITHOUT_EFFECT}
    made_from = {
        "data": (source.fingerprint(), source.name, source.split, source.kind, repr(source.form), source.is_conversation),
        "settings": (fields, sorted(params.model_fields_set.intersection(fields)), trains_prompt),
        "lengths": (lengths.block_size, lengths.sizes, lengths.model_max_length),
        "tokenizer": (_digest(loaded.tokenizer.backend_tokenizer.to_str()), repr(loaded.tokenizer.special_tokens_map)),
        "frame": (loaded.prefix_ids, loaded.eos_token_id, loaded.tokenizer.split_special_tokens),
        "template": (loaded.template, loaded.tokenizer.chat_template, _day(loaded)),
        "code": (_code(), transformers.__version__, tokenizers.__version__, jinja2.__version__),
    }
    return _digest(json.dumps(made_from, sort_keys=True))


def find(key: str) -> Kept | None:
    """What is kept under `key`, or None; an entry that isn't as it was written is deleted."""
    return read_split(_root() / key, key)


def read_split(folder: Path, key: str) -> Kept | None:
    """What `write_split` wrote into `folder`, or None; what isn't as it was written is deleted."""
    try:
        header = _read_header(folder, key)
        if header is None:
            shutil.rmtree(folder, ignore_errors=True)
            return None
        os.utime(folder / _HEADER)
        rows = RowsReport()
        rows.restore(header["report"], folder / _ROWS)
        return Kept(ExampleStore(folder, header["files"], header["fingerprint"]), rows, tuple(header["notices"]))
    except FileNotFoundError:
        return None  # never there, or deleted meanwhile by another worker


def _read_header(folder: Path, key: str) -> dict[str, Any] | None:
    """The header, if it and the files' sizes are as they were written.  Raises FileNotFoundError if there is no entry."""
    try:
        header = json.loads((folder / _HEADER).read_text(encoding="utf-8"))
        digest = header.pop("digest")
        is_whole = digest == _digest(json.dumps(header, sort_keys=True)) and header["key"] == key
        if is_whole and all((folder / name).stat().st_size == size for name, size in header["sizes"].items()):
            return header
    except FileNotFoundError:
        if not folder.exists():
            raise
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        pass
    return None


def keep(key: str, store: ExampleStore, rows: RowsReport, notices: Sequence[str]) -> ExampleStore:
    """Keep a split; returns the store to go on with.  If it can't be kept, that is said, and it is `store`."""
    if len(store) < MIN_EXAMPLES:
        return store
    try:
        _write(key, store, rows, notices)
    except OSError as error:
        log.notice(f"the tokenized data aren't kept for the next run ({error}); {VARIABLE}=off doesn't try")
        return store
    kept = find(key)
    if kept is None:
        return store
    kept.rows.close()
    store.close()
    return kept.store


def _write(key: str, store: ExampleStore, rows: RowsReport, notices: Sequence[str]) -> None:
    root = _root()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if store.num_bytes <= MAX_BYTES // 2:
        write_split(root / key, key, store, rows, notices)
        _make_room(root, key)


def write_split(folder: Path, key: str, store: ExampleStore, rows: RowsReport, notices: Sequence[str]) -> None:
    """Write a split into the new folder `folder`, whole or not at all; where it is there already, it stays."""
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
    try:
        (temporary / _ROWS).touch(mode=0o600)
        rows.write(temporary / _ROWS)
        sizes = {**store.save(temporary), _ROWS: (temporary / _ROWS).stat().st_size}
        header = {"key": key, "sizes": sizes, "files": store.files, "fingerprint": store.fingerprint}
        header |= {"report": rows.state(), "notices": list(notices)}
        text = json.dumps({**header, "digest": _digest(json.dumps(header, sort_keys=True))})
        (temporary / _HEADER).touch(mode=0o600)
        (temporary / _HEADER).write_text(text, encoding="utf-8")
        try:
            temporary.rename(folder)  # never onto one with files
        except OSError:
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make_room(root: Path, keep: str) -> None:
    """Delete what was used longest ago until the rest fits, and what killed workers left."""
    used: list[tuple[float, int, Path]] = []
    for folder in root.iterdir():
        try:
            if folder.name.startswith(".tmp-"):
                if time.time() - folder.stat().st_mtime > _LEFTOVER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            else:
                size = sum(file.stat().st_size for file in folder.iterdir())
                used.append(((folder / _HEADER).stat().st_mtime, size, folder))
        except OSError:
            continue  # another worker deleted it
    total = sum(size for _, size, _ in used)
    for _, size, folder in sorted(used):
        if total > MAX_BYTES and folder.name != keep:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


def _root() -> Path:
    return home() / "cache" / "data"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _day(loaded: LoadedTokenizer) -> str | None:
    """The day, if the template asks for it."""
    return loaded.day.isoformat() if "strftime_now" in json.dumps(loaded.tokenizer.chat_template) else None


@cache
def _code() -> str:
    """Of the modules that make tokens of rows: with other code, other data."""
    here = Path(__file__).parent
    return _digest("\0".join(file.read_text(encoding="utf-8") for file in _modules(here)))


def _modules(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.py"))
    yield folder.parent / "types.py"
