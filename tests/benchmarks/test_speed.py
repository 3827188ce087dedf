"""The benchmark beside TRL: what it makes of numbers, and what it asks both sides to do."""

import json
import math
import random
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from autotrain.config.load import load_config
from benchmarks.speed import report, results
from benchmarks.speed.__main__ import chosen_works, parser
from benchmarks.speed.machine import Usage, run, share_of_others
from benchmarks.speed.ratios import Spread, loss_difference, ratios_of, speed_ratios, worst_difference
from benchmarks.speed.rows import GENERATED, repeat_rows, take_rows
from benchmarks.speed.sides import Place, read_ours, read_theirs, task_of, write_config
from benchmarks.speed.works import PACKED, TRL, WORKS, ablations


def run_of(tokens_per_second: float, losses: tuple[float, ...] = (2.0, 1.0), **fields: Any) -> dict[str, Any]:
    """One side's run of ten seconds."""
    base = {
        "tokens": tokens_per_second * 10,
        "seconds": 10.0,
        "losses": losses,
        "loss_sum": 300.0,
        "peak_bytes": 2e9,
        "start_cpu_seconds": 3.0,
        "others_share": 0.0,
        "versions": {"torch": "2"},
    }
    return {**base, **fields}


def entry_of(rounds: list[Mapping[str, Any]], **work: Any) -> dict[str, Any]:
    """A work's entry in the file of results."""
    described = {
        "precision": "bf16",
        "batch_size": 4,
        "warmup_steps": 1,
        "timed_steps": 1,
        "tolerance": 3e-3,
        "summed_loss": False,
        "starts": False,
        "peers": {"trl": "TRL"},
    }
    return {
        "date": "2026-01-02",
        "commit": "abc",
        "model": "tiny",
        "data": "generated rows",
        "num_rows": 8,
        "command": "run",
        "steps": [{"tokens": 10, "flops": 5}, {"tokens": 4000, "flops": 4_000_000}],
        "flops_per_second": 1e6,
        "work": {**described, **work},
        "rounds": rounds,
        "proof": {},
    }


# Ratios


def test_a_ratio_is_of_the_two_runs_of_one_round():
    rounds = [{"ours": run_of(400), "trl": run_of(100)}, {"ours": run_of(600), "trl": run_of(200)}]
    assert speed_ratios(rounds, "ours", "trl") == [4.0, 3.0]  # not 500 / 150


def test_a_round_without_one_side_is_no_pair():
    rounds = [{"ours": run_of(400), "trl": run_of(100)}, {"ours": run_of(600)}]
    assert speed_ratios(rounds, "ours", "trl") == [4.0]


def test_the_spread_is_from_the_least_to_the_greatest():
    assert Spread.of([3.0, 9.0, 4.0]) == Spread(4.0, 3.0, 9.0)


def test_peak_memory_is_ours_over_theirs():
    rounds = [{"ours": run_of(1, peak_bytes=1e9), "trl": run_of(1, peak_bytes=4e9)}]
    assert ratios_of(rounds, "ours", "trl", "peak_bytes") == [0.25]


# Losses


def test_losses_are_compared_step_by_step():
    ours, theirs = run_of(1, (2.0, 1.01)), run_of(1, (2.0, 1.0))
    assert loss_difference(ours, theirs, summed=False) == pytest.approx(0.01)
    assert loss_difference(ours, theirs, summed=True) == 0  # the sums are the same


def test_another_number_of_steps_is_another_work():
    assert loss_difference(run_of(1, (2.0,)), run_of(1, (2.0, 1.0)), summed=False) == math.inf


def test_a_loss_that_is_no_number_never_agrees():
    assert loss_difference(run_of(1, (math.nan,)), run_of(1, (math.nan,)), summed=False) == math.inf


def test_the_worst_round_counts():
    same, other = {"ours": run_of(1), "trl": run_of(1)}, {"ours": run_of(1, (2.0, 1.5)), "trl": run_of(1)}
    assert worst_difference([same, other], "ours", "trl", summed=False) == pytest.approx(0.5)


# The machine


def test_what_is_busy_without_being_ours_is_others():
    # 2 processors for 10 s; 13 s were busy, 11 s of them ours: 2 of 20
    assert share_of_others(busy=13, own=11, seconds=10, num_processors=2) == pytest.approx(0.1)
    assert share_of_others(busy=10.9, own=11, seconds=10, num_processors=2) == 0  # counters are coarse


def test_a_command_is_measured_from_outside(tmp_path):
    spends = "import os, sys; x = bytearray(120_000_000); [i for i in range(3_000_000)]; sys.exit(3)"
    usage = run(["python3", "-c", spends], tmp_path, {"PATH": "/usr/bin:/bin"}, tmp_path / "log")
    assert usage.exit_code == 3
    assert usage.peak_bytes > 120_000_000
    assert 0.02 < usage.own_cpu_seconds <= usage.cpu_seconds + 0.02


def test_children_that_a_command_waited_for_count(tmp_path):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(150_000_000)'])"
    usage = run(["python3", "-c", child], tmp_path, {"PATH": "/usr/bin:/bin"}, tmp_path / "log")
    assert usage.peak_bytes > 150_000_000
    assert usage.own_cpu_seconds < usage.cpu_seconds


# The file of results


def test_a_work_measured_again_takes_the_place_of_the_old_one():
    one = results.merged(results.read_results(Path("/nowhere.json")), "a", {"date": "1"}, "AMD")
    two = results.merged(results.merged(one, "b", {"date": "1"}, "AMD"), "a", {"date": "2"}, "AMD")
    assert two["works"] == {"a": {"date": "2"}, "b": {"date": "1"}}


def test_processors_are_never_mixed():
    one = results.merged(results.read_results(Path("/nowhere.json")), "a", {}, "AMD")
    with pytest.raises(results.OtherProcessor, match="AMD, this machine is Intel"):
        results.merged(one, "b", {}, "Intel")


def test_results_come_back_as_written(tmp_path):
    written = results.merged({"format": 1, "works": {}}, "a", {"rounds": [1.5]}, "AMD")
    results.write_results(tmp_path / "new" / "file.json", written)
    assert results.read_results(tmp_path / "new" / "file.json") == written


# The table

FIVE = [{"ours": run_of(400), "trl": run_of(rate)} for rate in (100, 80, 100, 100, 50)]


def test_the_table_says_median_spread_and_pairs():
    line = report.speed_table({"sft": entry_of(FIVE)}).splitlines()[-1]
    assert line == "| `sft` | `trl` | **4.00** | 4.00 to 8.00 | 5 | 1.00 | 0e+00 |  |"


@pytest.mark.parametrize(
    ("rounds", "mark"),
    [
        (FIVE[:4], "(a)"),
        ([*FIVE[:4], {"ours": run_of(400, others_share=0.2), "trl": run_of(100)}], "(b)"),
        ([*FIVE[:4], {"ours": run_of(400, (2.0, 1.1)), "trl": run_of(100)}], "(c)"),
    ],
)
def test_what_is_wrong_with_a_figure_stands_beside_it_and_is_explained(rounds, mark):
    works = {"sft": entry_of(rounds)}
    assert f"**4.00** {mark}" in report.speed_table(works)
    assert report.notes(works).startswith(mark)


@pytest.mark.parametrize(("apart", "mark"), [(1e-6, "(d)"), (0.01, "(c)")])
def test_losses_that_bf16_rounds_apart_are_proven_the_same_in_float32(apart, mark):
    rounds = [*FIVE[:4], {"ours": run_of(400, (2.0, 1.1)), "trl": run_of(100)}]
    works = {"dpo": {**entry_of(rounds), "proof": {"trl": apart}}}
    assert f"**4.00** {mark}" in report.speed_table(works)
    assert report.notes(works).startswith(mark)


def test_pairs_in_bf16_are_proven_with_the_same_rows_and_numbers_in_float32():
    proof = WORKS["dpo-lora-bf16"].proof
    assert proof is not None
    assert {**proof.all_params(), "mixed_precision": "bf16", "batch_size": 4} == WORKS["dpo-lora-bf16"].all_params()
    assert proof.tolerance == 1e-4
    assert WORKS["sft-lora-bf16"].proof is None


def test_nothing_is_said_where_nothing_is_wrong():
    assert report.notes({"sft": entry_of(FIVE)}) == ""


def test_the_share_of_the_floor_is_of_the_timed_steps():
    # 4e6 operations at 1e6 a second: 4 s at least, 10 s taken
    line = report.speeds_table({"sft": entry_of([{"ours": run_of(400), "trl": run_of(10)}])}).splitlines()
    assert line[2] == "| `sft` | `ours` | 400.0 | 2.00 GB | 40% |"
    assert line[3].endswith("| 10.0 | 2.00 GB |  |")  # other tokens than the steps have: packed


def test_the_page_part_holds_every_table_and_each_work_s_origin():
    starts = entry_of([{"ours": run_of(1), "trl": run_of(1, start_cpu_seconds=47.0)}], starts=True)
    text = report.page_part({"processor": "AMD", "works": {"sft": entry_of(FIVE), "start": starts}})
    assert text.startswith("Processor: AMD. Versions, TRL's side: torch 2.")
    assert "| `start` | 8 | `trl` | 47.0 | 2.00 GB |" in text
    assert "| `sft` | 2026-01-02 | abc | tiny |" in text


def test_only_what_lies_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    report.write_page(page, "new")
    assert page.read_text(encoding="utf-8") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"


# Rows


@pytest.mark.parametrize("kind", GENERATED)
def test_generated_rows_are_the_same_ones_each_time(kind):
    assert take_rows(kind, 5, None) == take_rows(kind, 9, None)[:5]
    assert take_rows(kind, 5, None) != take_rows(kind, 5, None, seed=1)


def test_a_multiturn_pair_shares_more_than_its_answers_hold():
    for row in take_rows("multiturn", 40, None):
        *shared, _ = row["chosen"]
        assert shared == row["rejected"][:-1]
        assert len(row["chosen"][-1]["content"]) < sum(len(turn["content"]) for turn in shared)


def pair(turns: int, answers: tuple[str, str]) -> dict[str, Any]:
    """A pair after `turns` turns of each of the two."""
    shared = [{"role": "user", "content": "q" * 20}, {"role": "assistant", "content": "a" * 20}] * turns
    shared = [*shared, {"role": "user", "content": "q"}]
    sides = zip(("chosen", "rejected"), answers, strict=True)
    return {side: [*shared, {"role": "assistant", "content": answer}] for side, answer in sides}


def write_pairs(folder: Path, rows: list[dict[str, Any]]) -> None:
    path = folder / "preference" / "train.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_rows_of_a_folder_are_its_first_fitting_ones(tmp_path):
    rows = [pair(0, ("good", "bad")), pair(1, ("too long" * 400, "b")), pair(2, ("fine", "not")), pair(1, ("same", "same"))]
    write_pairs(tmp_path, rows)
    assert take_rows("preference", 3, tmp_path) == [rows[0], rows[2], rows[3]]
    assert take_rows("multiturn", 1, tmp_path)[0]["chosen"][-1]["content"].startswith("too long")
    with pytest.raises(SystemExit, match="2 rows of the kind multiturn, 3 are needed"):
        take_rows("multiturn", 3, tmp_path)


def test_answers_of_multiturn_pairs_are_cut_short_at_a_word(tmp_path):
    write_pairs(tmp_path, [pair(1, ("word " * 90, "short"))])
    (row,) = take_rows("multiturn", 1, tmp_path)
    assert row["chosen"][-1]["content"] == " ".join(["word"] * 40)  # 200 characters and the one after: the last space
    assert row["rejected"][-1]["content"] == "short"


def test_repeated_rows_are_all_different():
    rows = list(repeat_rows(take_rows("chat", 2, None), 6, "now"))
    assert len({json.dumps(row) for row in rows}) == 6


# What both sides are asked to do


def place_of(folder: Path) -> Place:
    return Place(folder, folder / "model", folder / "python")


@pytest.mark.parametrize("name", WORKS)
def test_our_configs_are_ones_that_the_product_takes(name, tmp_path):
    path = write_config(WORKS[name], place_of(tmp_path), "run", {})
    params = load_config(str(path)).params
    assert params.trainer == WORKS[name].trainer
    assert (params.lora_r, params.lora_dropout, params.block_size) == (16, 0.0, 1024)


@pytest.mark.parametrize("name", [name for name, work in WORKS.items() if TRL in work.peers])
def test_theirs_gets_the_numbers_of_our_config(name, tmp_path):
    work = WORKS[name]
    task, params = task_of(work, TRL, place_of(tmp_path), tmp_path), work.all_params()
    assert task["learning_rate"] == params["lr"] > 0
    assert task["batch_size"] == params["batch_size"] * params["gradient_accumulation"]
    assert task["bf16"] == (params["mixed_precision"] == "bf16")
    assert (task["adapter"] is not None) == params["peft"]


def test_against_packing_nothing_is_learned_so_that_sums_can_be_compared(tmp_path):
    work = WORKS["sft-lora-bf16-packed"]
    assert task_of(work, PACKED, place_of(tmp_path), tmp_path)["learning_rate"] == work.all_params()["lr"] == 0


def test_each_ablation_leaves_out_one_path():
    fp32 = {side.name: (side.ours or {})["fast_paths"] for side in ablations(WORKS["sft-lora-fp32"])}
    assert fp32["without-any"] == "none"
    assert fp32["without-layer"] == "onednn,kernels,attention,lora,environment"
    assert "without-onednn" not in {side.name for side in ablations(WORKS["sft-lora-bf16"])}


def asked(*words: str) -> Namespace:
    return parser().parse_args(["run", *words])


def test_all_works_are_measured_unless_some_are_named():
    assert [work.name for work in chosen_works(asked())] == list(WORKS)
    only = chosen_works(asked("--only", "sft-lora-fp32", "--steps", "9", "--peers", "trl-onednn"))
    assert [(work.name, work.timed_steps, [peer.name for peer in work.peers]) for work in only] == [
        ("sft-lora-fp32", 9, ["trl-onednn"])
    ]


def test_a_quick_run_is_small():
    works = chosen_works(asked("--quick"))
    assert len(works) == 2
    assert all(work.timed_steps == 1 and [peer.name for peer in work.peers] == ["trl"] for work in works)


# What both sides left

USAGE = Usage(0, 20.0, 30.0, 0.5, 2_000_000_000, 0.01)
STEPS = [{"tokens": 100, "predictions": 40}, {"tokens": 200, "predictions": 60}, {"tokens": 300, "predictions": 10}]


def test_warm_up_steps_count_neither_tokens_nor_seconds(tmp_path):
    rows = [{"step": step, "loss": 1.0 / step, "seconds": seconds} for step, seconds in ((1, 5.0), (2, 6.0), (3, 7.5))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run_file = {"timings": {"start_cpu_seconds": 3.0}, "versions": {}}
    (tmp_path / "run.json").write_text(json.dumps(run_file), encoding="utf-8")
    ours = read_ours(WORKS["sft-lora-bf16"], tmp_path, USAGE, STEPS)
    assert (ours.tokens, ours.seconds) == (500, 2.5)
    assert ours.start_cpu_seconds == 3.5  # the launcher's and the worker's
    assert ours.loss_sum == pytest.approx(1.0 * 40 + 0.5 * 60 + 10 / 3)
    result = {"step_seconds": [9.0, 4.0, 6.0], "losses": [1.0, 0.5, 1 / 3], "num_targets": [40, 60, 10], "block_tokens": []}
    theirs = read_theirs(WORKS["sft-lora-bf16"], {**result, "start_cpu_seconds": 4.0, "versions": {}}, USAGE, STEPS)
    assert (theirs.tokens, theirs.seconds) == (500, 10.0)
    assert theirs.loss_sum == pytest.approx(ours.loss_sum)


def test_packed_steps_have_tokens_of_their_own():
    result = {"step_seconds": [1.0, 2.0], "losses": [1.0, 1.0], "num_targets": [5, 5], "block_tokens": [350, 250]}
    packed = read_theirs(WORKS["sft-lora-bf16-packed"], {**result, "start_cpu_seconds": 0.0, "versions": {}}, USAGE, STEPS)
    assert (packed.tokens, packed.seconds) == (250, 2.0)


def test_lengths_of_made_up_chats_are_those_of_real_ones():
    draw = random.Random(0)
    words = [sum(len(turn["content"].split()) for turn in GENERATED["chat"](draw)["messages"]) for _ in range(300)]
    assert 120 < sum(words) / len(words) < 200  # about 1.3 tokens a word, and ten of the template: 203 in real ones
