"""DPO, ORPO, KTO, SimPO, CPO and reward models, from a data file to a result."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from autotrain.training.metrics import read_json_lines

WORDS = "red blue green small large round old new warm cold stone river".split()
REWARD_METRICS = ("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins")


def pairs(count, start=0):
    """The rule: the answer that ends with "please" is the better one."""
    rows = []
    for number in range(start, start + count):
        word = WORDS[number % len(WORDS)]
        prompt = [{"role": "user", "content": f"Say {word} in case {number}."}]
        good, bad = f"{word} it is, please", f"{word} it is, now"
        chosen, rejected = ([*prompt, {"role": "assistant", "content": text}] for text in (good, bad))
        rows.append({"chosen": chosen, "rejected": rejected})
    return rows


def labelled(count):
    rows = []
    for row in pairs(count):
        for answer, label in ((row["chosen"], True), (row["rejected"], False)):
            rows.append({"prompt": answer[:1], "completion": answer[1:], "label": label})
    return rows


@pytest.fixture
def fields(tiny_model, tmp_path):
    folder = tmp_path / "pairs"
    folder.mkdir()
    for name, rows in (("train", pairs(16)), ("valid", pairs(8, start=16)), ("kto", labelled(8))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "model": str(tiny_model),
        "project_name": "run",
        "data_path": str(folder),
        "valid_split": "valid",
        "lr": 5e-3,
        "epochs": 3,
        "batch_size": 4,
        "gradient_accumulation": 1,
        "logging_steps": 1,
        "num_sample_prompts": 1,
        "lora_dropout": 0.0,
    }


def rows_of(folder, name):
    return [row for row in read_json_lines(folder / "metrics.jsonl") if name in row]


@pytest.mark.parametrize("peft", [True, False])
@pytest.mark.parametrize("trainer", ["dpo", "ipo", "orpo", "simpo", "cpo"])
def test_pairs_are_learned_and_shown_under_the_fields_names(run_worker, fields, tmp_path, trainer, peft):
    assert run_worker(**fields, trainer=trainer, peft=peft) == 0
    folder = tmp_path / "run"
    first, last = (rows_of(folder, "eval_loss")[index] for index in (0, -1))
    assert last["eval_loss"] < first["eval_loss"]
    assert {f"eval_{name}" for name in REWARD_METRICS} <= last.keys()
    assert {*REWARD_METRICS, "logps/chosen", "logps/rejected"} <= rows_of(folder, "loss")[0].keys()
    if trainer in ("dpo", "ipo", "simpo"):  # orpo and cpo learn to write before they learn to prefer
        assert last["eval_rewards/accuracies"] >= 0.5


def test_the_first_dpo_loss_is_the_logarithm_of_two(run_worker, fields, tmp_path):
    for name, extra in (("lora", {"peft": True}), ("full", {}), ("kept", {"peft": True, "precompute_reference": True})):
        assert run_worker(**{**fields, "project_name": name}, trainer="dpo", **extra) == 0
        assert rows_of(tmp_path / name, "loss")[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
        assert rows_of(tmp_path / name, "eval_loss")[0]["eval_loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_a_reference_computed_once_gives_the_same_run(run_worker, fields, tmp_path):
    for name, kept in (("live", False), ("kept", True)):
        assert run_worker(**{**fields, "project_name": name}, trainer="dpo", peft=True, precompute_reference=kept) == 0
    live, kept = ([row["loss"] for row in rows_of(tmp_path / name, "loss")] for name in ("live", "kept"))
    assert kept == pytest.approx(live, rel=1e-4)


def test_orpo_may_train_on_the_prompt_too(run_worker, fields, tmp_path):
    for name, on_prompt in (("answer", False), ("dialogue", True)):
        settings = {**fields, "project_name": name, "trainer": "orpo", "peft": True}
        assert run_worker(**settings, orpo_nll_on_prompt=on_prompt) == 0
    answer, dialogue = (rows_of(tmp_path / name, "loss")[0] for name in ("answer", "dialogue"))
    assert answer["log_odds_ratio"] == pytest.approx(dialogue["log_odds_ratio"], rel=1e-5)
    assert answer["nll_loss"] != pytest.approx(dialogue["nll_loss"], rel=1e-5)


def test_kto_learns_from_labels(run_worker, fields, tmp_path):
    settings = {**fields, "trainer": "kto", "train_split": "kto", "valid_split": None, "peft": True, "epochs": 6}
    assert run_worker(**settings) == 0
    losses = [row["loss"] for row in rows_of(tmp_path / "run", "loss")]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("budget_changes", ["aot", "bco_pair", "sigmoid,ipo"])
def test_objectives_on_whole_steps_do_not_depend_on_accumulation(run_worker, fields, tmp_path, budget_changes):
    for name, batch, accumulation in (("one", 4, 1), ("two", 1, 4)):
        settings = {**fields, "project_name": name, "batch_size": batch, "gradient_accumulation": accumulation}
        assert run_worker(**settings, trainer="dpo", loss_type=budget_changes, peft=True) == 0
    one, two = ([row["loss"] for row in rows_of(tmp_path / name, "loss")] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize("way", ["adapter", "merged", "full"])
def test_a_reward_model_learns_the_rule_and_loads_elsewhere(run_worker, fields, tmp_path, capsys, way):
    """Regression: merging lost the head (DEFECT-9); a pad token that ends texts taught nothing (performance.md, fault 3)."""
    from peft import AutoPeftModelForSequenceClassification
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    assert run_worker(**fields, trainer="reward", peft=way != "full", merge_adapter=way == "merged") == 0
    folder = tmp_path / "run"
    assert rows_of(folder, "eval_loss")[-1]["eval_rewards/accuracies"] >= 0.9
    evaluation = json.loads((folder / "run.json").read_text())["evaluation"]
    assert evaluation["accuracy"] == pytest.approx(rows_of(folder, "eval_loss")[-1]["eval_rewards/accuracies"])
    assert "rank correlation" in capsys.readouterr().out
    if way == "adapter":
        model = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.config.pad_token_id = tokenizer.pad_token_id
    better = 0
    for row in pairs(8, start=16):
        texts = [tokenizer.apply_chat_template(row[side], tokenize=False) for side in ("chosen", "rejected")]
        batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        with torch.no_grad():
            chosen, rejected = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0]
        better += int(chosen > rejected)
    assert better >= 7


@pytest.mark.parametrize("trainer", ["dpo", "reward", "orpo"])
@pytest.mark.parametrize("peft", [True, False])
def test_preference_runs_resume_bit_for_bit(run_worker, fields, tmp_path, trainer, peft):
    settings = {**fields, "trainer": trainer, "peft": peft, "save_steps": 2, "lora_dropout": 0.1}
    assert run_worker(**{**settings, "project_name": "whole"}) == 0
    assert run_worker(**{**settings, "max_hours": 1e-9}) == 0
    assert run_worker("--resume", **settings) == 0
    names = ("loss", "eval_loss", "rewards/margins", "grad_norm")
    whole, resumed = (
        [{name: row.get(name) for name in names} for row in read_json_lines(tmp_path / folder / "metrics.jsonl")]
        for folder in ("whole", "run")
    )
    assert whole == resumed
    file = "adapter_model.safetensors" if peft else "model.safetensors"
    weights, others = (load_file(tmp_path / folder / file) for folder in ("whole", "run"))
    assert all(weights[name].equal(others[name]) for name in weights)


def test_a_reference_that_cannot_be_had_is_refused_and_nothing_is_written(run_worker, fields, tmp_path, capsys):
    assert run_worker(**fields, trainer="dpo", peft=True, model_ref=str(tmp_path / "nowhere")) == 2
    assert "model_ref" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
