"""Our side of the benchmark, end to end on a model of two layers; TRL's side is run by `make bench-quick`."""

import json
from dataclasses import replace

import pytest

from benchmarks.speed.rows import Row, take_rows, write_rows
from benchmarks.speed.sides import ADAPTER, ROWS, Place, SideFailed, prepare, read_told, run_side, write_config
from benchmarks.speed.works import WORKS, Work

WORK = WORKS["dpo-lora-bf16-multiturn"]


@pytest.fixture
def place(tmp_path, tiny_model) -> Place:
    place = Place(tmp_path / "work", tiny_model, {})
    write_rows(place.folder / "data" / "train.jsonl", _short_pairs())
    return place


def _short_pairs() -> list[Row]:
    """Pairs that fit the tiny model's 512 positions."""
    rows = take_rows("multiturn", WORK.num_rows, None)
    for row in rows:
        for side in ("chosen", "rejected"):
            row[side] = [{**turn, "content": " ".join(turn["content"].split()[:5])} for turn in row[side]]
    return rows


def small(work: Work) -> Work:
    without_kernels = "onednn,attention,lora,layer,environment"  # they would be built anew
    params = {"block_size": 256, "max_prompt_length": 256, "fast_paths": without_kernels}
    return replace(work, params={**work.params, **params})


def test_our_side_is_prepared_run_and_read(place):
    work = small(WORK)
    prepare("rows", write_config(work, place, "prepared", {}), place.folder, place)
    rows = json.loads((place.folder / ROWS).read_text(encoding="utf-8"))
    told = read_told(place.folder)
    assert (place.folder / ADAPTER / "adapter_model.safetensors").is_file()
    assert len(rows) == work.num_rows and len(told["steps"]) == work.warmup_steps + work.timed_steps
    # A pair's prompt counts for both answers: what TRL computes, and what the rate of both sides is of.
    tokens = [2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in rows]
    assert sum(step["tokens"] for step in told["steps"]) == sum(tokens)

    measured = run_side(work, None, place)
    assert len(measured.losses) == len(told["steps"])
    assert measured.losses[0] == pytest.approx(0.6931, abs=1e-3)  # policy and reference are still the same
    assert measured.tokens == sum(tokens[work.warmup_steps * work.batch_size :])
    assert measured.seconds > 0 and measured.peak_bytes > 100e6 and measured.start_cpu_seconds > 0.5


def test_a_side_that_fails_says_with_what(place):
    (place.folder / "data" / "train.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(SideFailed, match=r"exit code 2(.|\n)*train\.jsonl"):
        run_side(small(WORK), None, place)
