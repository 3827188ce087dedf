"""Whole runs on a GPU: started as users start them, they repeat bit for bit, resumed or not."""

import signal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from autotrain.training.metrics import read_json_lines
from autotrain.training.signals import StopSignal

pytestmark = pytest.mark.gpu

NUMBERS = ("step", "loss", "eval_loss", "grad_norm", "learning_rate")


@pytest.fixture
def fields(tiny_model: Path, chat_folder: Path) -> dict[str, Any]:
    return {
        "model": str(tiny_model),
        "trainer": "sft",
        "data_path": str(chat_folder),
        "valid_split": "valid",
        "peft": True,
        "quantization": "none",
        "lr": 5e-3,
        "epochs": 3,
        "batch_size": 2,
        "logging_steps": 1,
        "save_steps": 2,
        "lora_dropout": 0.1,
    }


def trace(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    rows = [{key: row[key] for key in NUMBERS if key in row} for row in read_json_lines(folder / "metrics.jsonl")]
    return rows, load_file(folder / "adapter_model.safetensors")


def assert_same(one: Path, other: Path) -> None:
    (rows, weights), (other_rows, other_weights) = trace(one), trace(other)
    assert rows == other_rows
    assert weights.keys() == other_weights.keys()
    assert all(weights[name].equal(other_weights[name]) for name in weights)


@pytest.mark.parametrize("precision", ["none", "fp16", "auto"])
def test_the_same_run_twice_is_the_same_run(tmp_path: Path, run_worker, fields: dict[str, Any], precision: str):
    for name in ("one", "other"):
        assert run_worker(**fields, project_name=name, mixed_precision=precision) == 0
    assert_same(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("precision", ["none", "fp16", "auto"])
def test_a_resumed_run_is_the_run_that_would_have_been(
    tmp_path: Path, run_worker, fields: dict[str, Any], precision: str, monkeypatch: pytest.MonkeyPatch
):
    assert run_worker(**fields, project_name="whole", mixed_precision=precision) == 0
    asked: list[None] = []

    def asked_in_the_middle(stop: StopSignal) -> bool:
        asked.append(None)
        stop.number = signal.SIGTERM if len(asked) > 8 else None
        return stop.number is not None

    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "asked", asked_in_the_middle)
        assert run_worker(**fields, project_name="run", mixed_precision=precision) == 143
    assert run_worker("--resume", **fields, project_name="run", mixed_precision=precision) == 0
    assert_same(tmp_path / "whole", tmp_path / "run")
