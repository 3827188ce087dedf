"""Two GPUs give what one gives: NCCL, DDP and FSDP2, in bf16 and on a base in 4 bits."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from same_runs import assert_same_run
from tests_of_ranks import job
from torchrun import run_together

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def needs_two_gpus() -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip(reason=f"needs 2 CUDA devices, here are {torch.cuda.device_count()}")


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
@pytest.mark.parametrize("kind", ["lora", "full", "int4"])
@pytest.mark.parametrize("trainer", ["sft", "dpo"])
def test_two_gpus_in_bf16_give_the_losses_of_one(
    trainer: str, kind: str, way: str, rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    if kind == "int4" and importlib.util.find_spec("bitsandbytes") is None:
        pytest.skip(reason="bitsandbytes isn't installed")
    settings = {"peft": kind != "full", "mixed_precision": "bf16", "quantization": "int4" if kind == "int4" else None}
    run_alone([job(trainer, "one", rows_folder, tiny_model, devices=1, **settings)], tmp_path)
    run_together([job(trainer, "two", rows_folder, tiny_model, devices=2, distributed_backend=way, **settings)], 2, tmp_path)
    assert_same_run(tmp_path / "one", tmp_path / "two", tolerance=2e-2)
