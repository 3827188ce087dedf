"""From a data file to a model that loads elsewhere."""

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from autotrain.training.metrics import read_json_lines


def metrics(folder):
    return read_json_lines(folder / "metrics.jsonl")


def losses(folder):
    return [row["loss"] for row in metrics(folder) if "loss" in row]


@pytest.fixture
def fields(tiny_model, chat_folder):
    return {
        "model": str(tiny_model),
        "project_name": "my-run",
        "trainer": "sft",
        "data_path": str(chat_folder),
        "valid_split": "valid",
        "lr": 5e-3,
        "epochs": 3,
        "batch_size": 2,
        "gradient_accumulation": 2,
        "logging_steps": 1,
        "num_sample_prompts": 1,
        "lora_dropout": 0.1,
    }


def test_lora_training_lowers_both_losses_and_leaves_everything_the_contract_names(run_worker, fields, tmp_path, capsys):
    assert run_worker(**fields, peft=True) == 0
    folder = tmp_path / "my-run"
    run = json.loads((folder / "run.json").read_text())
    assert run["results"]["eval_loss"] < run["results"]["eval_loss_before"]
    assert losses(folder)[-1] < losses(folder)[0]
    names = {entry.name for entry in folder.iterdir()}
    assert names >= {
        "adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "tokenizer_config.json", "README.md",
        "training_params.json", "run.json", "state.json", "metrics.jsonl", "samples.jsonl", "rows_left_out.jsonl",
        "train.log", "checkpoints",
    }  # fmt: skip
    assert json.loads((folder / "state.json").read_text())["stage"] == "finished"
    assert {"train_seconds", "train_cpu_seconds"} <= run["timings"].keys()
    assert run["timings"]["tokens"] > run["timings"]["trained_tokens"] > 0 and 0 < run["timings"]["floor_share"] < 1
    # On so small a model the libraries are nearly all of it, and what they take differs from run to run.
    assert run["memory"]["predicted_peak_bytes"] == pytest.approx(run["memory"]["measured_peak_bytes"], rel=0.3)
    out = capsys.readouterr().out
    assert "autotrain chat my-run" in out
    assert "estimated time: about" in out
    assert "better" in out
    log = (folder / "train.log").read_text()
    for said in (
        "conversations in column 'messages'",
        "training data: ",
        f"step 1/{run['resolved']['total_steps']}",
        "autotrain chat my-run",
    ):
        assert said in log


def test_metrics_have_hugging_faces_names(run_worker, fields, tmp_path):
    run_worker(**fields, peft=True)
    rows = metrics(tmp_path / "my-run")
    steps = [row for row in rows if "loss" in row]
    assert len(steps) == 18  # 24 rows / (2 * 2) * 3 epochs
    assert steps[0].keys() >= {"step", "epoch", "loss", "grad_norm", "learning_rate", "tokens", "seconds"}
    assert all(10_000_000 < row["memory_bytes"] < 100_000_000_000 for row in steps)
    assert [row["step"] for row in rows if "eval_loss" in row] == [0, 6, 12, 18]


def test_the_adapter_loads_with_peft_in_three_lines(run_worker, fields, tmp_path):
    from peft import AutoPeftModelForCausalLM

    run_worker(**fields, peft=True)
    model = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "my-run")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "my-run")
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "Say red 1 times."}], return_tensors="pt")["input_ids"]
    assert torch.isfinite(model(ids).logits).all()


@pytest.mark.parametrize("merged", [True, False])
def test_full_and_merged_models_load_with_transformers(run_worker, fields, tmp_path, merged):
    assert run_worker(**fields, peft=merged, merge_adapter=merged) == 0
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "my-run")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "my-run")
    rows = read_json_lines(tmp_path / "data" / "valid.jsonl")
    best = json.loads((tmp_path / "my-run" / "run.json").read_text())["results"]["eval_loss"]
    assert mean_answer_loss(model, tokenizer, rows) == pytest.approx(best, abs=1e-4)


def mean_answer_loss(model, tokenizer, rows):
    """The plain way: one conversation at a time, the answer's tokens after the header."""
    total, count = 0.0, 0
    for row in rows:
        head = tokenizer.apply_chat_template(row["messages"][:1], add_generation_prompt=True)["input_ids"]
        ids = tokenizer.apply_chat_template(row["messages"])["input_ids"]
        assert ids[: len(head)] == head
        logits = model(torch.tensor([ids])).logits[0].float()
        nll = torch.nn.functional.cross_entropy(logits[len(head) - 1 : -1], torch.tensor(ids[len(head) :]), reduction="sum")
        total, count = total + nll.item(), count + len(ids) - len(head)
    return total / count


def test_the_first_validation_equals_a_plain_forward_pass_of_the_base_model(run_worker, fields, tmp_path, tiny_model):
    run_worker(**fields, peft=True)
    before = next(row["eval_loss"] for row in metrics(tmp_path / "my-run") if "eval_loss" in row)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    rows = read_json_lines(tmp_path / "data" / "valid.jsonl")
    assert before == pytest.approx(mean_answer_loss(model, tokenizer, rows), rel=1e-5)


def test_defect_6_the_same_seed_gives_the_same_run_and_another_seed_another(run_worker, fields, tmp_path):
    """Regression: AutoTrain's seed never reached the trainer (DEFECT-6)."""
    for name, seed in (("one", 1), ("two", 1), ("three", 2)):
        run_worker(**{**fields, "project_name": name, "seed": seed}, peft=True)
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
    assert losses(tmp_path / "one") != losses(tmp_path / "three")


def test_fault_4_accumulation_does_not_change_the_loss_shown_or_the_run(run_worker, fields, tmp_path):
    """Regression: the loss shown was multiplied by gradient accumulation (performance.md, fault 4)."""
    for name, batch, accumulation in (("one", 4, 1), ("two", 1, 4)):
        sizes = {"batch_size": batch, "gradient_accumulation": accumulation, "project_name": name, "lora_dropout": 0.0}
        run_worker(**{**fields, **sizes}, peft=True)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


def test_issues_397_392_227_fault_5_three_rows_of_text_are_enough_for_the_default_trainer(run_worker, tiny_model, tmp_path):
    """Regression: small data gave zero blocks (#397, #392, #227, performance.md fault 5)."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "train.csv").write_text("text\nThe river is cold.\nThe stone is warm.\nThe house is old.\n")
    assert run_worker(model=str(tiny_model), project_name="t", data_path=str(tmp_path / "texts"), trainer="default") == 0
    assert all(math.isfinite(loss) for loss in losses(tmp_path / "t"))


def test_packing_trains_on_the_same_tokens(run_worker, fields, tmp_path):
    run_worker(**{**fields, "packing": True, "block_size": 64}, peft=True)
    run_worker(**{**fields, "project_name": "rows"}, peft=True)
    for split in ("train", "valid"):
        packed, rows = (
            json.loads((tmp_path / name / "run.json").read_text())["tokens"][split] for name in ("my-run", "rows")
        )
        assert packed == rows


def test_defect_3_early_stopping_ends_the_run_and_keeps_the_best(run_worker, fields, tmp_path):
    """With a learning rate of 0 no validation is better than the one before."""
    assert run_worker(**{**fields, "lr": 0.0, "eval_steps": 2, "early_stopping_patience": 2}, peft=True) == 0
    rows = metrics(tmp_path / "my-run")
    results = json.loads((tmp_path / "my-run" / "run.json").read_text())["results"]
    assert results["stopped_early"]
    assert results["best_step"] == 2
    assert max(row["step"] for row in rows) == 6  # better at 2, not at 4, not at 6


def test_issue_805_tensorboard_gets_the_same_values(run_worker, fields, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_worker(**fields, peft=True, log="tensorboard")
    events = EventAccumulator(str(tmp_path / "my-run" / "runs")).Reload()
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses(tmp_path / "my-run"), rel=1e-6)
    assert [event.step for event in events.Scalars("eval/loss")] == [0, 6, 12, 18]


def test_defect_19_a_run_folder_never_holds_the_token(run_worker, fields, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    run_worker(**fields, peft=True)
    for path in (tmp_path / "my-run").rglob("*"):
        assert not path.is_file() or b"hf_secretsecretsecret" not in path.read_bytes()


def test_a_validation_loss_that_is_no_number_is_never_the_best(run_worker, fields, tmp_path, monkeypatch):
    answers = iter([2.0, math.nan, 1.5, 1.8])
    monkeypatch.setattr("autotrain.training.loop.evaluate", lambda *_: {"loss": next(answers)})
    assert run_worker(**fields, peft=True) == 0
    assert json.loads((tmp_path / "my-run" / "run.json").read_text())["results"]["best_step"] == 12
    assert [row["eval_loss"] for row in metrics(tmp_path / "my-run") if "eval_loss" in row] == [2.0, None, 1.5, 1.8]
