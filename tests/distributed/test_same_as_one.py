"""Several processes give the losses and the final weights of one, for every trainer, whole models and adapters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from same_runs import assert_same_run
from tests_of_ranks import KINDS, TRAINERS, job
from torchrun import run_together

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own


@pytest.mark.parametrize(
    ("num_processes", "trainers"),
    [
        (2, ("sft", "dpo", "reward", "kto")),
        pytest.param(2, TRAINERS, marks=pytest.mark.slow),
        pytest.param(3, TRAINERS, marks=pytest.mark.slow),
    ],
    ids=["some", "all-2", "all-3"],
)
def test_trainers_give_the_same_in_several_processes_as_in_one(
    num_processes: int, trainers: Sequence[str], rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    ways = [(t, kind, way) for t in trainers for kind in KINDS for way in ("ddp", "fsdp")]
    alone = [job(t, f"{t}-{kind}", rows_folder, tiny_model, devices=1, **KINDS[kind]) for t in trainers for kind in KINDS]
    together = [
        job(t, f"{t}-{kind}-{way}", rows_folder, tiny_model, devices=num_processes, distributed_backend=way, **KINDS[kind])
        for t, kind, way in ways
    ]
    run_alone(alone, tmp_path)
    run_together(together, num_processes, tmp_path)
    for trainer, kind, way in ways:
        assert_same_run(tmp_path / f"{trainer}-{kind}", tmp_path / f"{trainer}-{kind}-{way}")


def test_objectives_that_look_at_the_whole_step_see_that_of_all_processes(
    rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    for loss_type in ("aot", "bco_pair"):
        fields = {"loss_type": loss_type, "peft": True}
        run_alone([job("dpo", loss_type.replace("_", "-"), rows_folder, tiny_model, devices=1, **fields)], tmp_path)
    names = [(loss_type, way) for loss_type in ("aot", "bco_pair") for way in ("ddp", "fsdp")]
    jobs = [
        job(
            "dpo",
            f"{loss_type.replace('_', '-')}-{way}",
            rows_folder,
            tiny_model,
            devices=2,
            distributed_backend=way,
            loss_type=loss_type,
            peft=True,
        )
        for loss_type, way in names
    ]
    run_together(jobs, 2, tmp_path)
    for loss_type, way in names:
        name = loss_type.replace("_", "-")
        assert_same_run(tmp_path / name, tmp_path / f"{name}-{way}")


def test_ranks_with_unequal_numbers_of_micro_batches_give_the_same(
    rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    """64 tokens a micro-batch: rows of 30 to 90 tokens can't be cut alike."""
    names = [(trainer, way) for trainer in ("sft", "dpo") for way in ("ddp", "fsdp")]
    run_alone([job(t, t, rows_folder, tiny_model, devices=1, peft=False) for t in ("sft", "dpo")], tmp_path)
    small = [
        job(t, f"{t}-{way}", rows_folder, tiny_model, devices=3, distributed_backend=way, peft=False) | {"max_tokens": 64}
        for t, way in names
    ]
    run_together(small, 3, tmp_path)
    for trainer, way in names:
        assert_same_run(tmp_path / trainer, tmp_path / f"{trainer}-{way}")


def test_layers_computed_again_and_bf16_change_no_more_than_they_do_in_one_process(
    rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    bf16 = {"mixed_precision": "bf16", "peft": True}
    run_alone(
        [
            job("sft", "full", rows_folder, tiny_model, devices=1, peft=False),
            job("sft", "bf16", rows_folder, tiny_model, devices=1, **bf16),
        ],
        tmp_path,
    )
    again = [
        job("sft", f"again-{way}", rows_folder, tiny_model, devices=2, distributed_backend=way, peft=False)
        | {"checkpointed": True}
        for way in ("ddp", "fsdp")
    ]
    half = [
        job("sft", f"bf16-{way}", rows_folder, tiny_model, devices=2, distributed_backend=way, **bf16)
        for way in ("ddp", "fsdp")
    ]
    run_together([*again, *half], 2, tmp_path)
    for way in ("ddp", "fsdp"):
        assert_same_run(tmp_path / "full", tmp_path / f"again-{way}")
        assert_same_run(tmp_path / "bf16", tmp_path / f"bf16-{way}", tolerance=2e-2)
