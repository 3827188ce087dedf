"""The GPU's benchmark runs from end to end on a small model, and its arithmetic is right.  Its figures need a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.on_gpu.measure import Measured, joined, tokens_per_second
from benchmarks.on_gpu.report import is_right, loss_agrees, table
from benchmarks.on_gpu.rows import END, Row, make_rows
from benchmarks.on_gpu.works import (
    OURS,
    PACKING,
    SHAPES,
    TRL,
    WORKS,
    Shape,
    Work,
    peak_of,
    sides_of,
    useful_flops,
)

ROOT = Path(__file__).parents[2]
SFT, DPO = WORKS[0], WORKS[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    """What it prints and writes."""
    file = tmp_path_factory.mktemp("gpu") / "out" / "figures.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--device", "cpu", "--tiny", "--json", str(file)]
    done = subprocess.run([*command, "--rounds", "1", "--steps", "1"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(file.read_text(encoding="utf-8"))


def test_the_small_run_checks_parity_and_prints_a_table(run: tuple[str, dict]):
    text, figures = run
    assert [check["agrees"] for check in figures["parity"]] == [True] * 4
    assert "| tiny sft lora | autotrain |" in text and "| tiny dpo lora | autotrain |" in text
    ours = [one for one in figures["runs"] if one["side"]["is_ours"] and not one["skipped"]]
    assert {one["work"]["tuning"] for one in ours} >= {"lora", "full"}
    assert all(one["tokens_per_second"] > 0 and one["flops_per_token"] > 0 for one in ours)


def test_what_is_not_installed_is_named(run: tuple[str, dict]):
    text, figures = run
    skipped = [one["skipped"] for one in figures["runs"] if one["skipped"]]
    assert all(reason.startswith("not installed: ") for reason in skipped), text
    assert "trl" in figures["versions"] or any("trl" in reason for reason in skipped)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_cuda_it_ends_with_a_message_at_once(capsys: pytest.CaptureFixture[str]):
    assert gpu.main([]) == 2
    assert "no CUDA device here" in capsys.readouterr().out


def test_the_full_shapes_are_not_for_a_processor(capsys: pytest.CaptureFixture[str]):
    assert gpu.main(["--device", "cpu"]) == 2
    assert "--tiny" in capsys.readouterr().out


def test_a_row_of_a_pair_counts_its_prompt_once():
    """3 + 2 + 1 tokens, 3 targets; keys seen: 6 in the prompt, 2 * 3 + 3 by the chosen, 3 + 1 by the rejected answer."""
    row = Row([5, 6, 7], [[8, END], [END]])
    assert row.sizes == (6, 3, 6 + 9 + 4)


def test_the_least_flops_of_a_step_by_hand(monkeypatch: pytest.MonkeyPatch):
    """Six tokens, three targets.

    A layer has 2 * 8 * 8 (q, o) + 2 * 8 * 4 (k, v) + 3 * 8 * 16 = 576 weights, the head 10 * 8 = 80.
    Products 2 * (576 * 6 + 80 * 3) = 7,392; attention 4 * 19 keys * 2 heads * 4 = 608.
    """
    monkeypatch.setattr("benchmarks.on_gpu.works.SHAPES", {"x": Shape("x", 10, 8, 16, 1, 2, 1, 4, True)})
    rows = [Row([5, 6, 7], [[8, END], [END]])]
    assert useful_flops(Work("x", "sft", "full", 1), rows) == 3 * 7392 + 3 * 608
    assert useful_flops(Work("x", "sft", "lora", 1), rows) == 2 * 7392 + 3 * 608
    assert useful_flops(Work("x", "dpo", "lora", 1), rows) == 3 * 7392 + 4 * 608


def test_shapes_have_as_many_weights_as_their_names_say():
    one, eight = SHAPES["1B"], SHAPES["8B"]
    assert 1.2e9 < one.layer_weights + one.head_weights < 1.3e9
    assert 8.0e9 < eight.layer_weights + 2 * eight.head_weights < 8.1e9


def test_a_card_is_known_by_its_name():
    assert peak_of("NVIDIA H100 80GB HBM3") == 989e12 and peak_of("NVIDIA H100 PCIe") == 756e12
    assert peak_of("NVIDIA L40S") == 362e12 and peak_of("NVIDIA L4") == 121e12
    assert peak_of("Radeon VII") is None


def test_rows_are_the_same_ones_each_time_and_no_longer_than_asked():
    rows = make_rows("dpo", 50, 500, longest=100)
    assert rows == make_rows("dpo", 50, 500, longest=100)
    assert all(len(row.prompt) + len(answer) <= 100 for row in rows for answer in row.answers)


def test_both_sides_come_in_turn_round_by_round():
    arguments = gpu._options().parse_args(["--rounds", "2", "--only", "dpo"])
    plan = gpu._plan([SFT, DPO], arguments)
    assert [side for _, side in plan] == [*sides_of(DPO), *sides_of(DPO)]


def measured(side, seconds=(2.0,), loss=1.0, skipped="", work=SFT) -> Measured:
    return Measured(work, side, seconds, [100] * len(seconds), 1e9, loss, 2**30, skipped)


def test_rounds_are_joined_and_a_skipped_one_does_not_count():
    (one,) = joined([measured(OURS, (2.0,)), measured(OURS, (), skipped="no time left"), measured(OURS, (4.0, 4.0))])
    assert one.seconds == [2.0, 4.0, 4.0] and tokens_per_second(one) == 25


def test_the_table_has_ratio_and_share_of_the_peak():
    """100 tokens in 2 s are 50 tokens/s, and with 1e9 FLOPs each 5 % of 1e12; the other side is at half of it."""
    text = table([measured(OURS), measured(TRL, (4.0,))], 1e12)
    assert "| 1B sft lora | autotrain | 50 | - | 2000 | 5.0% | 1.0 | 1.0000 |" in text
    assert "| 1B sft lora | TRL | 25 | 2.00x | 4000 | 2.5% | 1.0 | 1.0000 |" in text


def test_other_losses_fail_the_run_and_other_batches_do_not():
    ours, off, packed = measured(OURS), measured(TRL, loss=1.01), measured(PACKING, loss=1.5)
    assert not loss_agrees(off, ours) and loss_agrees(packed, ours)
    assert not is_right([], [ours, off]) and is_right([], [ours, packed])
    assert "DIFFERS" in table([ours, off], None)


def test_a_failure_of_our_own_fails_the_run_and_lack_of_memory_or_time_does_not():
    assert not is_right([], [measured(OURS, skipped="failed: RuntimeError: x")])
    assert is_right([], [measured(TRL, skipped="failed: RuntimeError: x"), measured(OURS, skipped="no time left")])
