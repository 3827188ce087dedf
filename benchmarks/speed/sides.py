"""Runs one side of a work in a fresh process, and reads what it left."""

import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed.machine import Usage, run
from benchmarks.speed.works import BLOCK_SIZE, LLAMA_FACTORY_PROGRAM, OURS, TRL_PROGRAM, Side, Work

ROOT = Path(__file__).parents[2]
SCRIPTS = {TRL_PROGRAM: "theirs.py", LLAMA_FACTORY_PROGRAM: "llama_factory.py"}
TASKS = {"default": "llm", "sft": "llm-sft", "dpo": "llm-dpo", "orpo": "llm-orpo", "reward": "llm-reward"}
COLUMNS = {"chat": {"text_column": "messages"}, "text": {"text_column": "text"}}
ROWS, STEPS, ADAPTER = "rows.json", "steps.json", "adapter"
# Stops before the second step: a way to the first one is measured, no training.
ONE_STEP_HOURS = 1e-6


class SideFailed(Exception):
    """A side's process ended with an error; the message ends with its last lines."""


@dataclass(frozen=True)
class Place:
    """Where a work is measured.

    folder: of the work, with `data`.  model: the folder that both sides load.
    pythons: of the environments of the programs that we compare with, by their names.
    """

    folder: Path
    model: Path
    pythons: Mapping[str, Path]


@dataclass(frozen=True)
class Measured:
    """Of one run.  tokens and seconds: of the timed steps.  losses: of all steps.  loss_sum: summed over all targets.

    start_cpu_seconds: from the command to the first step.  others_share: of the machine, taken by other processes.
    """

    tokens: int
    seconds: float
    losses: Sequence[float]
    loss_sum: float
    peak_bytes: int
    start_cpu_seconds: float
    whole_seconds: float
    others_share: float
    versions: Mapping[str, str] = field(default_factory=dict)


def write_config(work: Work, place: Place, name: str, params: Mapping[str, Any]) -> Path:
    """Our config, as a user would write it (JSON is YAML too)."""
    data = {"path": str(place.folder / "data"), "train_split": "train"}
    if work.data == "text":
        data |= {"column_mapping": COLUMNS["text"]}
    elif work.data == "chat":
        data |= {"column_mapping": COLUMNS["chat"], "chat_template": "tokenizer"}
    else:
        data |= {"chat_template": "tokenizer"}
    config = {
        "task": TASKS[work.trainer],
        "base_model": str(place.model),
        "project_name": name,
        "log": "none",
        "backend": "local",
        "data": data,
        "params": {**work.all_params(), **params},
    }
    path = place.folder / f"{name}.json"
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return path


def our_environment(place: Place) -> dict[str, str]:
    """Caches and the registry of runs beside the benchmark's files, not among the user's."""
    return {
        **os.environ,
        "AUTOTRAIN_HOME": str(place.folder.parent / "home"),
        "HF_HUB_OFFLINE": "1",
    }


def prepare(what: str, source: str | Path, folder: Path, place: Place) -> None:
    """Run prepare.py.  Raises SideFailed."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"prepare-{what}.log"
    command = [sys.executable, "-m", "benchmarks.speed.prepare", what, str(source), str(folder)]
    _check(run(command, folder, our_environment(place) | {"PYTHONPATH": str(ROOT)}, log), log)


def run_side(work: Work, side: Side | None, place: Place) -> Measured:
    """One fresh process; None is our side as the work says.  Raises SideFailed."""
    if side is None or side.ours is not None:
        return run_ours(work, place, OURS if side is None else side.name, side.ours or {} if side else {})
    return run_theirs(work, side, place)


def run_ours(work: Work, place: Place, name: str, params: Mapping[str, Any]) -> Measured:
    """`autotrain --config`."""
    changes = {**params, "max_hours": ONE_STEP_HOURS} if work.starts else params
    config = write_config(work, place, name, changes)
    log = place.folder / f"{name}.log"
    command = [sys.executable, "-m", "autotrain", "--config", config.name, "--overwrite"]
    usage = _check(run(command, place.folder, our_environment(place), log), log)
    return read_ours(work, place.folder / name, usage, read_told(place.folder)["steps"])


def read_ours(work: Work, folder: Path, usage: Usage, steps: Sequence[Mapping[str, int]]) -> Measured:
    """What the run in `folder` left.  steps: what prepare.py said of each step."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "loss" in row]
    run_file = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    skipped = work.warmup_steps
    before = rows[skipped - 1]["seconds"] if skipped else 0.0
    losses = [row["loss"] for row in rows]
    return Measured(
        tokens=sum(step["tokens"] for step in steps[skipped:]),
        seconds=rows[-1]["seconds"] - before,
        losses=losses,
        loss_sum=sum(loss * step["predictions"] for loss, step in zip(losses, steps, strict=False)),
        peak_bytes=usage.peak_bytes,
        start_cpu_seconds=usage.own_cpu_seconds + run_file["timings"].get("start_cpu_seconds", 0.0),
        whole_seconds=usage.seconds,
        others_share=usage.others_share,
        versions=run_file["versions"],
    )


def run_theirs(work: Work, side: Side, place: Place) -> Measured:
    """Another program, with what prepare.py wrote for it."""
    folder = place.folder / side.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    task_file = folder / "task.json"
    task_file.write_text(json.dumps(task_of(work, side, place, folder), indent=2), encoding="utf-8")
    log = place.folder / f"{side.name}.log"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), **side.environment}
    environment["PYTHONPATH"] = str(ROOT)  # in place of the user's
    script = Path(__file__).with_name(SCRIPTS[side.program])
    command = [str(place.pythons[side.program]), "-P", str(script), str(task_file)]
    usage = _check(run(command, folder, environment, log), log)
    return read_theirs(
        work, json.loads((folder / "result.json").read_text(encoding="utf-8")), usage, read_told(place.folder)["steps"]
    )


def task_of(work: Work, side: Side, place: Place, folder: Path) -> dict[str, Any]:
    """What theirs.py or llama_factory.py is to do."""
    params = work.all_params()
    arguments: dict[str, Any] = {}
    if side.packing and side.program == TRL_PROGRAM:
        arguments |= {"packing": True, "packing_strategy": "bfd"}
    if work.trainer in ("dpo", "orpo"):
        arguments |= {"beta": params[f"{work.trainer}_beta"]}
    return {
        "trainer": "sft" if work.trainer == "default" else work.trainer,
        "model": str(place.model),
        "adapter": str(place.folder / ADAPTER) if params["peft"] else None,
        "rows": str(place.folder / ROWS),
        "raw": str(place.folder / "data" / "train.jsonl") if work.starts else None,
        "folder": str(folder),
        "result": str(folder / "result.json"),
        "learning_rate": params["lr"],
        # A block holds about as many tokens as a batch of chat rows.
        "batch_size": 1 if side.packing else work.batch_size,
        "max_steps": 1 if work.starts else -1,
        "block_size": BLOCK_SIZE,
        "bf16": work.precision == "bf16",
        "onednn": side.onednn,
        "packing": side.packing,
        "arguments": arguments,
    }


def read_theirs(work: Work, result: Mapping[str, Any], usage: Usage, steps: Sequence[Mapping[str, int]]) -> Measured:
    """What the other program's script wrote.  With packing its steps are its own; otherwise they are ours."""
    skipped, seconds, losses = work.warmup_steps, result["step_seconds"], result["losses"]
    tokens = result["block_tokens"] or [step["tokens"] for step in steps]
    targets = result["num_targets"]
    return Measured(
        tokens=sum(tokens[skipped : len(seconds)]),
        seconds=sum(seconds[skipped:]),
        losses=losses,
        loss_sum=sum(loss * number for loss, number in zip(losses, targets, strict=False)),
        peak_bytes=usage.peak_bytes,
        start_cpu_seconds=result["start_cpu_seconds"],
        whole_seconds=usage.seconds,
        others_share=usage.others_share,
        versions=result["versions"],
    )


def read_told(folder: Path) -> dict[str, Any]:
    """What prepare.py said: of each of the `steps` what is in it, and the machine's `flops_per_second`."""
    path = folder / STEPS
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"steps": [], "flops_per_second": 0.0}


def _check(usage: Usage, log: Path) -> Usage:
    if usage.exit_code != 0:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        raise SideFailed(f"exit code {usage.exit_code}; {log} ends:\n" + "\n".join(lines))
    return usage
