"""The benchmark beside others: its rows, what it asks all sides to do, and how it reads what they left."""

import json
import random
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from autotrain.config.load import load_config
from autotrain.trainers.clm.names import FAST_PATHS
from benchmarks.speed.__main__ import check_pythons, chosen_works, command_line, parser
from benchmarks.speed.machine import Usage
from benchmarks.speed.rows import GENERATED, repeat_rows, take_rows
from benchmarks.speed.sides import Place, SideFailed, read_ours, read_theirs, run_side, task_of, write_config
from benchmarks.speed.works import LADDER, LLAMA_FACTORY, LLAMA_FACTORY_PACKED, PACKED, TRL, WORKS, Side, ablations

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
    return Place(folder, folder / "model", {})


@pytest.mark.parametrize("name", WORKS)
def test_our_configs_are_ones_that_the_product_takes(name, tmp_path):
    path = write_config(WORKS[name], place_of(tmp_path), "run", {})
    params = load_config(str(path)).params
    assert params.trainer == WORKS[name].trainer
    assert (params.lora_r, params.lora_dropout, params.block_size) == (16, 0.0, 1024)


SIDES = [(name, side) for name, work in WORKS.items() for side in (TRL, LLAMA_FACTORY) if side in work.peers]


@pytest.mark.parametrize(("name", "side"), SIDES, ids=[f"{name}-{side.name}" for name, side in SIDES])
def test_theirs_gets_the_numbers_of_our_config(name, side, tmp_path):
    work = WORKS[name]
    task, params = task_of(work, side, place_of(tmp_path), tmp_path), work.all_params()
    assert task["learning_rate"] == params["lr"] > 0
    assert task["batch_size"] == params["batch_size"] * params["gradient_accumulation"]
    assert task["bf16"] == (params["mixed_precision"] == "bf16")
    assert (task["adapter"] is not None) == params["peft"]


@pytest.mark.parametrize("side", [PACKED, LLAMA_FACTORY_PACKED], ids=lambda side: side.name)
def test_against_packing_nothing_is_learned_so_that_sums_can_be_compared(side, tmp_path):
    work = WORKS["sft-lora-bf16-packed"]
    task = task_of(work, side, place_of(tmp_path), tmp_path)
    assert task["learning_rate"] == work.all_params()["lr"] == 0
    assert task["packing"] and task["batch_size"] == 1  # a block at a time


@pytest.mark.parametrize(("side", "module"), [(TRL, "trl"), (LLAMA_FACTORY, "llamafactory")], ids=["trl", "llama-factory"])
def test_each_program_runs_its_own_script_in_its_own_environment(side: Side, module: str, tmp_path):
    # Neither is in the environment of the tests: its script ends where it looks for it.
    place = Place(tmp_path, tmp_path / "model", {side.program: Path(sys.executable)})
    with pytest.raises(SideFailed, match=f"No module named '{module}'"):
        run_side(WORKS["sft-lora-bf16"], side, place)


def test_each_ablation_adds_one_path_to_those_before():
    fp32 = [(side.ours or {})["fast_paths"] for side in ablations(WORKS["sft-lora-fp32"])]
    assert fp32[0] == "none" and fp32[1:4] == ["environment", "environment,onednn", "environment,onednn,attention"]
    assert set(fp32[-1].split(",")) == set(FAST_PATHS) - {LADDER[-1]}  # with the last it is our side itself
    assert not any("onednn" in (side.ours or {})["fast_paths"] for side in ablations(WORKS["sft-lora-bf16"]))


def asked(*words: str) -> Namespace:
    return parser().parse_args(["run", *words])


def test_all_works_are_measured_unless_some_are_named():
    assert [work.name for work in chosen_works(asked())] == list(WORKS)
    only = chosen_works(asked("--only", "sft-lora-fp32", "--steps", "9", "--peers", "trl-onednn"))
    assert [(work.name, work.timed_steps, [peer.name for peer in work.peers]) for work in only] == [
        ("sft-lora-fp32", 9, ["trl-onednn"])
    ]


def names_of_peers(*words: str) -> list[list[str]]:
    return [[peer.name for peer in work.peers] for work in chosen_works(asked("--only", *words))]


def test_llama_factory_is_measured_where_its_environment_is_given():
    works = ("sft-lora-bf16", "sft-lora-bf16-packed")
    given = ("--python-with-llama-factory", "lf/bin/python")
    assert names_of_peers(*works) == [["trl", "trl-tuned"], ["trl-packed", "trl-packed-tuned"]]
    assert names_of_peers(*works, *given) == [
        ["trl", "trl-tuned", "llama-factory"],
        ["trl-packed", "trl-packed-tuned", "llama-factory-packed"],
    ]
    assert names_of_peers(works[0], "--peers", "llama-factory", *given) == [["llama-factory"]]
    assert command_line(asked(*given)).endswith("--python-with-llama-factory PYTHON")  # no folder of this machine


def test_an_environment_that_is_missing_is_named():
    there = ("--python-with-trl", sys.executable)
    check_pythons(asked(*there))
    for words, message in (
        (("--python-with-trl", "no/trl"), "no/trl: `make bench` sets up TRL"),
        ((*there, "--python-with-llama-factory", "no/lf"), "no/lf; docs/benchmarks.md says how"),
        ((*there, "--peers", "llama-factory-packed"), "give --python-with-llama-factory"),
    ):
        with pytest.raises(SystemExit, match=message):
            check_pythons(asked(*words))
    check_pythons(asked("--ablation", "--python-with-trl", "no/trl"))  # ours alone


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
