"""A finished run as it lies on disk, full of what must not leave the machine, and somebody to push it."""

import json
import time
from pathlib import Path

import pytest

from autotrain.hub import push
from autotrain.trainers.clm.params import LLMTrainingParams

TOKEN = "hf_AnnsOwnSecretToken"
WEIGHTS = b"weights\0of an adapter" * 100


@pytest.fixture
def ann(hub):
    """Ann, with a token that may write, a member of acme."""
    hub.add_user("ann", token=TOKEN, orgs={"acme": "write", "watchers": "read"})
    return hub


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch):
    """Between our own tries."""
    monkeypatch.setattr(push, "PAUSES_SECONDS", (0.0, 0.0))


@pytest.fixture
def params(tmp_path: Path):
    """Makes parameters of a run that is pushed."""

    def make(**fields) -> LLMTrainingParams:
        places = {"model": str(tmp_path / "models" / "tiny"), "data_path": str(tmp_path / "data" / "train.jsonl")}
        return LLMTrainingParams(
            **places | {"project_name": "my-run", "push_to_hub": True, "token": TOKEN, "peft": True} | fields
        )

    return make


@pytest.fixture
def folder(tmp_path: Path, params) -> Path:
    """The folder of a finished run with an adapter."""
    folder = tmp_path / "my-run"
    folder.mkdir()
    params().save(folder)
    base = str(tmp_path / "models" / "tiny")
    write_json(folder / "state.json", {"stage": "finished", "step": 4, "total_steps": 4, "pid": 1, "heartbeat": time.time()})
    write_json(folder / "adapter_config.json", {"base_model_name_or_path": base, "peft_type": "LORA", "r": 8})
    write_json(folder / "tokenizer_config.json", {"name_or_path": base, "eos_token": "/home/"})
    run = {"params": {"model": base}, "environment": {"LD_PRELOAD": "/usr/lib/x/libjemalloc.so"}, "versions": {"torch": "2"}}
    write_json(folder / "run.json", {**run, "samples": [{"prompt": "a row of the data", "answer": "yes"}]})
    (folder / "README.md").write_text(f"---\nlicense: mit\n---\n\nTrained on {tmp_path}/data/train.jsonl from {base}.\n")
    (folder / "adapter_model.safetensors").write_bytes(WEIGHTS)
    for name in ("tokenizer.json", "metrics.jsonl", "samples.jsonl", "rows_left_out.jsonl", "train.log", "notes.txt"):
        (folder / name).write_text("{}\n")
    for name in (
        "runs/events.out.tfevents.1.host.1.0",
        "checkpoints/checkpoint-4/optimizer.pt",
        "data/train.jsonl",
        "runs/x.log",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0")
    return folder


def write_json(path: Path, value) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
