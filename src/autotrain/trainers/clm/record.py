"""What a run leaves as a record: run.json, and whether a resumed run is still the same run."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from autotrain import __version__, log
from autotrain.errors import RunFolderError
from autotrain.models.reference import LiveReference
from autotrain.run_folder import RUN_FILE, write_json
from autotrain.trainers.clm.params import PARAMS_FILE, LLMTrainingParams
from autotrain.trainers.clm.work import Work
from autotrain.training.checkpoint import Progress
from autotrain.training.floor import Amount, training_flops
from autotrain.training.rate import matmul_rate, shapes_of

# What may change between the parts of a run without changing its numbers.
MAY_CHANGE = frozenset(
    {
        "log",
        "logging_steps",
        "save_total_limit",
        "save_steps",
        "save_strategy",
        "num_sample_prompts",
        "max_hours",
        "push_to_hub",
        "username",
        "token",
        "hub_private",
        "hub_revision",
        "push_checkpoints",
        "merge_adapter",
        "early_stopping_patience",
        "distributed_backend",
        "devices",
        "nodes",
        "node_rank",
        "master",
        "max_restarts",
        "hang_minutes",
        "ray_address",
        "ray_resources",
        "ray_storage",
    }
)
# Variables that decide how fast it goes: of the C library's allocator, of OpenMP, of the libraries for products.
_SPEED_VARIABLES = (
    *("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_"),
    "LRU_CACHE_CAPACITY",  # of torch, for oneDNN
)
_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "datasets", "bitsandbytes", "safetensors")


def check_same_run(folder: Path, params: LLMTrainingParams, name: str | None = None) -> None:
    """Raises RunFolderError if parameters that decide the numbers differ from those of the run in `folder`.

    name: what to call the run, None for its folder.
    """
    path = folder / PARAMS_FILE
    if not path.is_file():
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    now = json.loads(params.to_json())
    changed = [
        f"{name} (was {before[name]!r}, is {now[name]!r})"
        for name in LLMTrainingParams.model_fields
        if name in before and name not in MAY_CHANGE and before[name] != now[name]
    ]
    if changed:
        raise RunFolderError(
            f"--resume: {name or folder} was started with other parameters: {', '.join(changed)}; "
            "set them back, or start anew with --overwrite or another project_name"
        )


def check_same_data(folder: Path, fingerprint: Mapping[str, str]) -> None:
    """Raises RunFolderError if the tokens to train on are no longer those of the run in `folder`."""
    path = folder / RUN_FILE
    if not path.is_file():
        return
    before = json.loads(path.read_text(encoding="utf-8")).get("data_fingerprint", {})
    changed = [split for split, digest in fingerprint.items() if before.get(split, digest) != digest]
    if changed:
        raise RunFolderError(
            f"--resume: the data of split {', '.join(changed)} (or its tokenizer) changed since {folder} was started, "
            "so the run can't go on exactly; put the data back, or start anew with --overwrite"
        )


def note_other_versions(folder: Path) -> None:
    """Say so if the run in `folder` was started with other versions: it can go on, but not bit for bit."""
    path = folder / RUN_FILE
    if not path.is_file():
        return
    before, now = json.loads(path.read_text(encoding="utf-8")).get("versions", {}), versions()
    changed = [f"{name} was {before[name]}, is {now.get(name, 'gone')}" for name in before if before[name] != now.get(name)]
    if changed:
        log.notice(f"{folder} was started with other versions ({'; '.join(changed)}): it may not go on bit for bit")


def day_of(folder: Path) -> date | None:
    """The day that the run in `folder` takes for today in dated templates, or None if it didn't note one."""
    path = folder / RUN_FILE
    if not path.is_file():
        return None
    day = json.loads(path.read_text(encoding="utf-8")).get("resolved", {}).get("day")
    return date.fromisoformat(day) if day else None


def devices_of(folder: Path, otherwise: int) -> int:
    """How many devices shared a step when the run in `folder` was started: its steps stay as they were."""
    path = folder / RUN_FILE
    if not path.is_file():
        return otherwise
    return int(json.loads(path.read_text(encoding="utf-8")).get("resolved", {}).get("devices", 1))


def versions() -> dict[str, str]:
    """Versions of this package, Python and the libraries that decide the numbers."""
    installed = {"autotrain": __version__, "python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            installed[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of `variables` that decide how fast it goes, whoever set them."""
    return {name: value for name, value in sorted(variables.items()) if name.startswith(_SPEED_VARIABLES)}


def memory(work: Work) -> dict[str, int]:
    """What was planned and is expected, in bytes; `measured_peak_bytes` comes when the last step is done."""
    plan, forecast = work.ready.memory, work.forecast
    return {
        "total_bytes": plan.total_bytes,
        "loaded_bytes": work.ready.loaded_bytes,
        "predicted_peak_bytes": forecast.peak_bytes,
        "tokens_of_largest_micro_batch": forecast.largest.num_tokens,
        "num_checkpointed_layers": plan.num_checkpointed_layers,
        "num_layers": plan.num_layers,
    }


def results(progress: Progress) -> dict[str, Any]:
    """Losses before and after."""
    return {
        "train_loss_first": progress.first_loss,
        "train_loss_last": progress.last_loss,
        "eval_loss_before": progress.eval_loss_before,
        "eval_loss_last": progress.eval_loss,
        "eval_loss": progress.best_eval_loss,
        "best_step": progress.best_step,
        "steps": progress.step,
        "stopped_early": progress.stopped_early,
    }


@dataclass(frozen=True)
class Start:
    """What passed from the start of the program to the first step: seconds, and CPU seconds of the process."""

    seconds: float
    cpu_seconds: float


def timings(progress: Progress, start: Start, total_seconds: float, floor_seconds: float | None) -> dict[str, Any]:
    """Seconds; `train_*`, `tokens` and `trained_tokens` count optimizer steps only, over all parts of the run.

    floor_seconds: the least time for these steps, None where it isn't known.
    """
    seconds = progress.train_seconds
    return {
        "start_seconds": round(start.seconds, 3),
        "start_cpu_seconds": round(start.cpu_seconds, 3),
        "train_seconds": round(seconds, 3),
        "train_cpu_seconds": round(progress.train_cpu_seconds, 3),
        "total_seconds": round(total_seconds, 3),
        "tokens": progress.num_tokens,
        "trained_tokens": progress.num_trained_tokens,
        "tokens_per_second": round(progress.num_tokens / seconds, 1) if seconds else 0.0,
        "floor_share": round(floor_seconds / seconds, 4) if floor_seconds is not None and seconds else None,
    }


def floor_seconds(work: Work, progress: Progress) -> float | None:
    """The least time for the steps so far on this machine, None where the model's operations can't be counted."""
    policy, reference = work.ready.policy, work.comparison.reference
    shapes = shapes_of(policy)
    if shapes is None:
        return None
    amount = Amount(progress.num_tokens, progress.num_trained_tokens, progress.num_attended_tokens)
    has_reference = isinstance(reference, LiveReference)
    flops = training_flops(shapes, amount, trains_base=not policy.has_adapter, has_reference=has_reference)
    return flops / (matmul_rate(policy) * work.ready.ranks.total)


def device_name(device: torch.device) -> str:
    """The device as a person would name it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()} {device.type}, {torch.get_num_threads()} threads"


def facts(work: Work) -> dict[str, Any]:
    """What is known about a run before its first step."""
    params, data, ready, machine, policy = work.params, work.data, work.ready, work.machine, work.ready.policy
    return {
        "params": json.loads(params.to_json()),
        "resolved": {
            "block_size": data.lengths.block_size,
            "chat_template": data.tokenizer.template,
            "day": data.tokenizer.day.isoformat(),
            "precision": machine.precision.name,
            "quantization": machine.quantization,
            "token_budget": ready.memory.token_budget,
            "gradient_checkpointing": ready.memory.gradient_checkpointing,
            "total_steps": data.batches.total_steps,
            "steps_per_epoch": data.batches.steps_per_epoch,
            "layout": policy.verdict.layout,
            "devices": data.num_devices,
            "processes": {"number": ready.ranks.total, "way": ready.ranks.way},
            "reference": work.comparison.reference.way if work.comparison.reference else None,
        },
        "data": data.report.counts(),
        "data_fingerprint": data.fingerprint,
        "tokens": {
            split: {"tokens": int(store.num_tokens.sum()), "trained": int(store.num_trained.sum())}
            for split, store in (("train", data.train), ("valid", data.valid))
            if store is not None
        },
        "parameters": {"all": policy.num_parameters, "trained": policy.num_trainable},
        "memory": memory(work),
        "self_test": asdict(policy.verdict),
        "device": device_name(machine.device),
        "environment": environment(os.environ),
        "versions": versions(),
    }


def write(folder: Path, run: Mapping[str, Any]) -> None:
    """Write run.json, whole or not at all."""
    write_json(folder / RUN_FILE, run)
