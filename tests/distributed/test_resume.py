"""A run goes on after an interruption as if there had been none, in as many processes, or in more or fewer."""

from pathlib import Path
from typing import Any

import pytest
from same_runs import assert_same_run
from tests_of_ranks import KINDS, job
from torchrun import run_together

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own

COUNTS = {"alone": 1, "ddp": 2, "fsdp": 2, "ddp-3": 3, "fsdp-3": 3}


@pytest.mark.parametrize("kind", ["full", pytest.param("lora", marks=pytest.mark.slow)])
def test_it_goes_on_in_other_numbers_of_processes_and_other_ways(
    kind: str, rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    """Begun with two processes, whose steps have 12 rows; these stay so whoever goes on."""
    changes = {"epochs": 2, "save_strategy": "no", "num_sample_prompts": 0, **KINDS[kind]}
    begun = {way: job("sft", f"{way}-to", rows_folder, tiny_model, devices=2, distributed_backend=way, **changes)
             for way in ("ddp", "fsdp")}  # fmt: skip
    run_alone([job("sft", "whole", rows_folder, tiny_model, devices=1, **changes)], tmp_path)
    ways = [(first, then) for first in ("ddp", "fsdp") for then in COUNTS]
    named = {(first, then): renamed(begun[first], f"{first}-to-{then}") for first, then in ways}
    run_together([one | {"stop_after": 2} for one in named.values()], 2, tmp_path)
    for count in (1, 2, 3):
        jobs = [resumed(named[first, then], then.split("-")[0]) for first, then in ways if COUNTS[then] == count]
        run_alone(jobs, tmp_path) if count == 1 else run_together(jobs, count, tmp_path, name=f"again-{count}")
    for first, then in ways:
        assert_same_run(tmp_path / "whole", tmp_path / f"{first}-to-{then}")


def renamed(one: dict[str, Any], name: str) -> dict[str, Any]:
    return {**one, "params": {**one["params"], "project_name": name}}


def resumed(one: dict[str, Any], way: str) -> dict[str, Any]:
    backend = None if way == "alone" else way
    return {"params": {**one["params"], "distributed_backend": backend}, "resume": True}
