"""The benchmark beside TRL: what it makes of numbers."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import report, results
from benchmarks.speed.machine import run, share_of_others
from benchmarks.speed.ratios import Spread, loss_difference, ratios_of, speed_ratios, worst_difference
from benchmarks.speed.works import WORKS


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
    assert WORKS["sft-lora-bf16"].proof is not None
    assert all(WORKS[name].proof is None for name in ("sft-lora-bf16-packed", "sft-lora-fp32", "start"))


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


def test_the_versions_of_each_program_are_its_own():
    others = {"trl-packed": run_of(1, versions={"trl": "1"}), "llama-factory": run_of(1, versions={"llamafactory": "2"})}
    line = report.versions_line({"sft": entry_of([{"ours": run_of(1), **others}])})
    assert line == "Versions, LLaMA-Factory's side: llamafactory 2. Versions, TRL's side: trl 1. Versions, ours: torch 2."


def test_only_what_lies_between_the_marks_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n", encoding="utf-8")
    report.write_page(page, "new")
    assert page.read_text(encoding="utf-8") == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
