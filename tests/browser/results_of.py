"""Runs with real results, made small and quickly: adapters, whole models, a reward model."""

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from autotrain.runs import register
from autotrain.trainers.clm.params import LLMTrainingParams

PRIVATE = (
    "state.json",
    ".lock",
    "train.log",
    "samples.jsonl",
    "rows_left_out.jsonl",
    "checkpoints/checkpoint-1/model.safetensors",
)


def make_run(workspace: Path, name: str, base: Path, *, kind: str = "adapter", stage: str = "finished") -> int:
    """A run folder as the worker leaves it; returns the run's number.  kind: adapter, whole, reward or nothing."""
    folder = workspace / name
    folder.mkdir()
    params = LLMTrainingParams(model=str(base), project_name=name, trainer="sft", peft=kind == "adapter", data_path="data")
    params.save(folder)
    for file in PRIVATE:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("private")
    state = {"stage": stage, "step": 3, "total_steps": 3, "pid": os.getpid(), "heartbeat": time.time(), "message": ""}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "run.json").write_text(json.dumps({"resolved": {"chat_template": "tokenizer"}, "results": {}}))
    (folder / "loss_curve.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    if kind != "nothing":
        _save_model(folder, base, kind)
    (folder / "README.md").write_text(
        f"---\nlicense: mit\n---\n# {name}\n\nMade in {folder}. ![loss](loss_curve.svg)\n\n"
        "<img src=x alt=x onerror=alert(1)>\n"
    )
    number = register(name, folder, "local", os.getpid())
    assert number is not None
    return number


def _save_model(folder: Path, base: Path, kind: str) -> None:
    torch.manual_seed(1)
    if kind == "reward":
        model: Any = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    else:
        model = AutoModelForCausalLM.from_pretrained(base)
    if kind == "adapter":
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
