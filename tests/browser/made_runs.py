"""Runs on disk and in the registry as the worker leaves them, without training anything."""

import json
import math
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness import Server

from autotrain.run_folder import write_json
from autotrain.runs import register
from autotrain.trainers.clm.params import LLMTrainingParams

QUESTIONS = ("What is red?", "What is a river?")
STEPS = 40


@dataclass
class MadeRun:
    """A run that tests write to as its worker would."""

    number: int
    folder: Path
    total_steps: int
    pid: int

    def state(self, stage: str, step: int, message: str = "") -> None:
        values = {"stage": stage, "step": step, "total_steps": self.total_steps, "pid": self.pid, "heartbeat": time.time()}
        write_json(self.folder / "state.json", {**values, "message": message})

    def log(self, *rows: dict[str, Any]) -> None:
        """Append rows to the metrics."""
        self._append("metrics.jsonl", rows)

    def answer(self, step: int, answer: str, prompt: str = QUESTIONS[0]) -> None:
        self._append("samples.jsonl", [{"step": step, "prompt": prompt, "reference": "A colour.", "answer": answer}])

    def say(self, *lines: str) -> None:
        """Append lines to the log."""
        with (self.folder / "train.log").open("a", encoding="utf-8") as file:
            file.writelines(f"2026-01-02 03:04:05,678 {line}\n" for line in lines)

    def _append(self, name: str, rows: Any) -> None:
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)


def step_row(step: int, **more: float) -> dict[str, Any]:
    """A logged step, with a loss that falls."""
    return {
        "step": step,
        "loss": round(2 * math.exp(-step / 30) + 0.1, 6),
        "grad_norm": 1.0 + (step % 5) / 10,
        "learning_rate": 3e-5,
        "tokens": step * 100,
        "seconds": step * 0.5,
        "memory_bytes": 1_200_000_000,
        **more,
    }


def make_run(server: Server, name: str, stage: str = "finished", *, message: str = "", **params: Any) -> MadeRun:
    """A run of 40 steps, ten of them taken if it is training still: in this process, so it counts as alive."""
    folder = server.workspace / name
    if folder.exists():
        return make_run(server, f"{name}-2", stage, message=message, **params)
    folder.mkdir(parents=True)
    settings = {"trainer": "sft", "data_path": "data", **params}
    values = LLMTrainingParams(model="smollm2-135m", project_name=name, **settings)  # pyright: ignore[reportArgumentType]
    (folder / "training_params.json").write_text(values.to_json(), encoding="utf-8")
    is_live = stage == "training"
    pid = os.getpid() if is_live else 0
    run = MadeRun(0, folder, STEPS, pid)
    run.state(stage, 10 if is_live else STEPS, message)
    run.log({"step": 0, "eval_loss": 2.2}, *(step_row(step) for step in range(1, 11 if is_live else STEPS + 1)))
    if not is_live:
        run.log({"step": STEPS, "eval_loss": 0.9})
    for question in QUESTIONS:
        run.answer(0, "I don't know.", question)
    for line in range(300):
        run.say("note: float32 is slow" if line == 150 else f"line {line} of the log")
    with patch.dict(os.environ, {"AUTOTRAIN_HOME": str(server.home)}):
        number = register(name, folder, "local-ui", pid)  # last: a page that is open looks at it at once
    assert number is not None
    return replace(run, number=number)


def leave_out(run: MadeRun, count: int) -> None:
    """Rows of the data that weren't used."""
    rows = [
        {"split": "train", "file": "/data/train.jsonl", "line": line, "what": "left out", "reason": "empty"}
        for line in range(1, count + 1)
    ]
    run._append("rows_left_out.jsonl", rows)
    counts = {"rows_in": 100, "rows_out": 100 - count, "left_out": {"empty": count}, "rows_cut": 0, "tokens_cut": 0}
    write_json(run.folder / "run.json", {"data": {"train": counts}})
