"""How a step is cut, decided by numbers alone."""

from dataclasses import replace

import pytest
import torch

from autotrain.models.memory import MemoryEstimate
from autotrain.training import plan as planning
from autotrain.training.plan import plan_memory, total_memory_bytes

GIB, MIB = 2**30, 2**20


# A token keeps 0.25 MiB in each of four layers, or 1/32 MiB where they are computed again; a GiB whatever the batch.
ESTIMATE = MemoryEstimate(
    weights=GIB // 2,
    gradients=GIB // 4,
    optimizer=GIB // 4,
    num_layers=4,
    layer=MIB // 4,
    layer_input=MIB // 32,
    layer_work=0,
    ends=0,
    head=0,
    prediction=0,
    logit_row=0,
    chunk_rows=100,
)


def plan(estimate=ESTIMATE, **changes):
    facts = {
        "device_type": "cuda",
        "total_bytes": 16 * GIB,
        "other_bytes": 0,
        "longest_example": 500,
        "may_checkpoint": True,
        "search": False,
    }
    return plan_memory(estimate, **{**facts, **changes})


def test_on_a_processor_a_micro_batch_is_as_large_as_pays():
    made = plan(device_type="cpu")
    assert made.token_budget == 2048 and "more would gain nothing" in made.reason


def test_less_memory_means_smaller_micro_batches():
    assert plan().token_budget == 8806  # (0.6 * 16 GiB - 1 GiB) / 1 MiB
    assert plan(total_bytes=4 * GIB).token_budget == 1433


def test_a_second_model_takes_its_share():
    assert plan(other_bytes=GIB).token_budget == 8806 - 1024


def test_the_head_takes_its_share():
    """100 rows of logits at once, of 1 MiB each."""
    assert plan(replace(ESTIMATE, logit_row=MIB)).token_budget == 8806 - 100


def test_activations_are_kept_where_they_fit():
    assert plan().num_checkpointed_layers == 0 and "activations kept" in plan().reason


def test_as_few_layers_as_need_be_are_computed_again():
    """0.6 * 2.25 GiB - 1 GiB = 0.35 GiB; 500 tokens keep 0.488 GiB, with one layer computed again 0.381, with two 0.275."""
    made = plan(total_bytes=int(2.25 * GIB))
    assert made.num_checkpointed_layers == 2 and "2 of 4 layers recomputed" in made.reason
    assert made.token_budget == 637  # 0.35 GiB / (2 * 0.25 + 2 / 32) MiB


def test_if_nothing_fits_all_layers_are_computed_again():
    assert plan(total_bytes=GIB).num_checkpointed_layers == 4


def test_recomputing_can_be_forbidden():
    assert not plan(total_bytes=2 * GIB, may_checkpoint=False).gradient_checkpointing


def test_the_longest_row_always_fits_into_the_budget():
    made = plan(device_type="cpu", longest_example=9000)
    assert made.token_budget >= 9000 and "the longest row" in made.reason


def test_searching_starts_higher():
    assert plan(search=True).token_budget == 13721  # (0.9 * 16 GiB - 1 GiB) / 1 MiB
    assert plan(search=True, device_type="cpu").token_budget == 8192


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
