"""How a step is cut, decided by numbers alone."""

import pytest
import torch

from autotrain.training import plan as planning
from autotrain.training.plan import plan_memory, total_memory_bytes

GIB = 2**30


def plan(**changes):
    facts = {
        "device_type": "cpu",
        "total_bytes": 16 * GIB,
        "fixed_bytes": GIB,
        "bytes_per_token": 2**20,
        "bytes_per_token_checkpointed": 2**17,
        "longest_example": 500,
        "may_checkpoint": True,
        "search": False,
    }
    return plan_memory(**{**facts, **changes})


def test_a_micro_batch_is_as_large_as_pays():
    assert plan().token_budget == 4096


def test_less_memory_means_smaller_micro_batches():
    assert plan(total_bytes=4 * GIB).token_budget == 1433  # (0.6 * 4 GiB - 1 GiB) / 1 MiB


def test_activations_are_kept_where_they_fit():
    assert not plan().gradient_checkpointing


def test_activations_are_recomputed_where_the_longest_row_does_not_fit():
    assert plan(total_bytes=2 * GIB).gradient_checkpointing  # 0.6 * 2 GiB - 1 GiB = 0.2 GiB = 204 tokens < 500


def test_recomputing_can_be_forbidden():
    assert not plan(total_bytes=2 * GIB, may_checkpoint=False).gradient_checkpointing


def test_the_longest_row_always_fits_into_the_budget():
    assert plan(longest_example=9000).token_budget >= 9000


def test_searching_starts_higher():
    assert plan(search=True).token_budget == 13721  # (0.9 * 16 GiB - 1 GiB) / 1 MiB


@pytest.mark.parametrize("said", ["max\n", None])
def test_without_a_container_the_machines_memory_counts(tmp_path, monkeypatch, said):
    file = tmp_path / "memory.max"
    if said:
        file.write_text(said)
    monkeypatch.setattr(planning, "_CONTAINER_LIMITS", (file,))
    assert total_memory_bytes(torch.device("cpu")) > GIB


def test_a_containers_limit_counts_rather_than_its_machines_memory(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("100000000\n")
    monkeypatch.setattr(planning, "_CONTAINER_LIMITS", (tmp_path / "memory.max",))
    assert total_memory_bytes(torch.device("cpu")) == 100_000_000
