"""Checkpoints: everything that decides the next step, whole on disk or not there at all.

checkpoints/checkpoint-N/ holds
    trainable.safetensors   the trainable weights, bit for bit
    optimizer.pt            optimizer, schedule and gradient scaler
    random.pt               states of all random generators
    progress.json           step, best step, lengths of the metric files, token budget, ...
    random-R.pt             of a run of several processes, those of process R from 1 on
    sharded/                in place of trainable.safetensors, where the model is cut up among them (training/shards.py)
    optimizer-validated.pt  only where the step's validation was made up for after a resume: it may move the schedule on
"""

import json
import os
import random
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from autotrain.errors import RunFolderError
from autotrain.ranks import Ranks
from autotrain.run_folder import write_json

_NAME = re.compile(r"checkpoint-(\d+)")
SHARDED = "sharded"
_OPTIMIZER, _OPTIMIZER_AFTER_VALIDATION = "optimizer.pt", "optimizer-validated.pt"


@dataclass(frozen=True)
class Progress:
    """Where a run stands after `step` optimizer steps.

    validated: whether what follows this step (validation, samples) was done before the checkpoint was written.
    token_budget: tokens of a micro-batch, as lowered so far.  The `_bytes` are lengths of the run's files.
    num_attended_tokens: summed over the tokens, how many tokens each looked at.
    """

    step: int = 0
    validated: bool = False
    num_tokens: int = 0
    num_trained_tokens: int = 0
    num_attended_tokens: int = 0
    train_seconds: float = 0.0
    train_cpu_seconds: float = 0.0
    token_budget: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    eval_loss_before: float | None = None
    eval_loss: float | None = None
    best_eval_loss: float | None = None
    best_step: int | None = None
    validations_without_better: int = 0
    metrics_bytes: int = 0
    samples_bytes: int = 0
    stopped_early: bool = False

    def with_(self, **changes: Any) -> "Progress":
        return replace(self, **changes)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read from disk.  random_states: of each process that wrote it; weights: none where it is sharded."""

    folder: Path
    progress: Progress
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    random_states: Sequence[Mapping[str, Any]]

    def random_states_of(self, ranks: Ranks) -> Mapping[str, Any]:
        """Those of this process; where there were fewer or more processes, those of another one, moved on by its number."""
        if len(self.random_states) == ranks.total:
            return self.random_states[ranks.rank]
        restore_random_states(self.random_states[0])
        if ranks.rank:
            torch.manual_seed(torch.initial_seed() + 1_000_003 * (self.progress.step * ranks.total + ranks.rank))
        return random_states()


def random_states() -> dict[str, Any]:
    """States of the generators that training may draw from."""
    algorithm, keys, *rest = np.random.get_state()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": json.dumps(random.getstate()),
        "numpy": json.dumps([str(algorithm), np.asarray(keys).tolist(), *rest]),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Put all generators back to `states`."""
    torch.set_rng_state(states["torch"])
    version, internal, gauss = json.loads(states["python"])
    random.setstate((version, tuple(internal), gauss))
    algorithm, keys, *rest = json.loads(states["numpy"])
    np.random.set_state((algorithm, np.array(keys, dtype=np.uint32), *rest))
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])


def write_checkpoint(
    folder: Path,
    progress: Progress,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Any],
    randoms: Mapping[str, Any],
    randoms_of_others: Sequence[Mapping[str, Any]] = (),
    shards: Path | None = None,
) -> Path:
    """Write checkpoint-`step` into `folder`: first under another name, on disk, then renamed.

    shards: a folder, on disk already, to begin with in place of `weights`.
    If it is there already, its weights are the same and only what the step's validation may have changed is new.
    """
    folder.mkdir(exist_ok=True)
    final = folder / f"checkpoint-{progress.step}"
    if final.exists():
        if progress.validated and not read_progress(folder, progress.step).validated:
            torch.save(optimizer, final / _OPTIMIZER_AFTER_VALIDATION)
            _to_disk(final / _OPTIMIZER_AFTER_VALIDATION)
        write_json(final / "progress.json", asdict(progress))  # from now on the other file counts
        return final
    temporary = folder / f".tmp-checkpoint-{progress.step}"
    shutil.rmtree(temporary, ignore_errors=True)
    if shards:
        shards.rename(temporary)
    else:
        temporary.mkdir()
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary / "trainable.safetensors")
    torch.save(optimizer, temporary / _OPTIMIZER)
    torch.save(randoms, temporary / "random.pt")
    for rank, states in enumerate(randoms_of_others, start=1):
        torch.save(states, temporary / f"random-{rank}.pt")
    (temporary / "progress.json").write_text(json.dumps(asdict(progress), indent=2), encoding="utf-8")
    for file in temporary.iterdir():
        if file.is_file():  # shards are on disk already
            _to_disk(file)
    temporary.rename(final)
    _to_disk(folder)
    return final


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def list_checkpoints(folder: Path) -> list[int]:
    """Steps of the whole checkpoints in `folder`, rising."""
    if not folder.is_dir():
        return []
    matches = (_NAME.fullmatch(entry.name) for entry in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def read_progress(folder: Path, step: int) -> Progress:
    """Only the progress of checkpoint-`step`."""
    return Progress(**json.loads((folder / f"checkpoint-{step}" / "progress.json").read_text(encoding="utf-8")))


def read_checkpoint(folder: Path, step: int) -> Checkpoint:
    """Read checkpoint-`step`.  Raises RunFolderError if its files can't be read."""
    path = folder / f"checkpoint-{step}"
    try:
        progress = read_progress(folder, step)
        is_sharded = (path / SHARDED).is_dir()
        if is_sharded:
            _check_shards(path / SHARDED)
        renewed = path / _OPTIMIZER_AFTER_VALIDATION
        return Checkpoint(
            path,
            progress,
            {} if is_sharded else load_file(path / "trainable.safetensors"),
            torch.load(renewed if progress.validated and renewed.exists() else path / _OPTIMIZER, weights_only=True),
            [torch.load(file, weights_only=True) for file in _random_files(path)],
        )
    except (OSError, ValueError, TypeError, RuntimeError, KeyError, EOFError, SafetensorError, UnpicklingError) as error:
        raise RunFolderError(
            f"--resume: {path} can't be read ({error}); delete this folder to resume from an earlier checkpoint"
        ) from error


def _check_shards(folder: Path) -> None:
    """Raises OSError where a file is missing or too short, before all processes read and fail with an error of torch."""
    from torch.distributed.checkpoint import FileSystemReader  # takes a second, and most checkpoints aren't cut up

    needed: dict[str, int] = {}
    for part in (FileSystemReader(folder).read_metadata().storage_data or {}).values():
        needed[part.relative_path] = max(needed.get(part.relative_path, 0), part.offset + part.length)
    for name, num_bytes in needed.items():
        found = (folder / name).stat().st_size
        if found < num_bytes:
            raise OSError(f"{SHARDED}/{name} has {found:,} bytes of {num_bytes:,}")


def _random_files(path: Path) -> list[Path]:
    others = sorted(path.glob("random-*.pt"), key=lambda file: int(file.stem.removeprefix("random-")))
    return [path / "random.pt", *others]


def prune_checkpoints(folder: Path, keep: int, best_step: int | None) -> None:
    """Delete all but the `keep` newest checkpoints and the best one, and what interrupted writes left."""
    steps = list_checkpoints(folder)
    for step in steps[:-keep]:
        if step != best_step:  # renamed first: a half-deleted one must not pass for whole
            (folder / f"checkpoint-{step}").rename(folder / f".tmp-checkpoint-{step}")
    for leftover in [*folder.glob(".tmp-checkpoint-*"), *folder.glob(".tmp-shards-*")]:
        shutil.rmtree(leftover)
