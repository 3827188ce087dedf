"""Whether data were kept, found or made anew: a run has the same numbers, also where it is resumed."""

import json

import pytest
from safetensors.torch import load_file

from autotrain.data import cache
from autotrain.training.metrics import read_json_lines

NUMBERS = ("step", "loss", "eval_loss", "grad_norm", "learning_rate", "tokens")


@pytest.fixture
def run(tmp_path, monkeypatch, run_worker, tiny_model, chat_folder):
    """run(name, cache, ...): a training, and all its numbers that don't depend on the clock."""
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache, "MIN_EXAMPLES", 1)
    fields = {
        "model": str(tiny_model),
        "trainer": "sft",
        "data_path": str(chat_folder),
        "valid_split": "valid",
        "peft": True,
        "lr": 5e-3,
        "epochs": 2,
        "batch_size": 4,
        "gradient_accumulation": 1,
        "logging_steps": 1,
        "num_sample_prompts": 0,
        "lora_dropout": 0.1,
    }

    def train(name, switch, *flags, **more):
        monkeypatch.setenv(cache.VARIABLE, switch)
        assert run_worker(*flags, **{**fields, "project_name": name, **more}) == 0
        folder = tmp_path / name
        rows = [{key: row[key] for key in NUMBERS if key in row} for row in read_json_lines(folder / "metrics.jsonl")]
        facts = json.loads((folder / "run.json").read_text())
        weights = {key: value.tolist() for key, value in load_file(folder / "adapter_model.safetensors").items()}
        return rows, weights, facts["data"], facts["data_fingerprint"], (folder / "rows_left_out.jsonl").read_text()

    return train


@pytest.mark.parametrize("packing", [False, True])
def test_off_first_and_second_start_train_alike(run, packing):
    assert run("off", "off", packing=packing) == run("first", "on", packing=packing) == run("second", "on", packing=packing)


def test_a_run_begun_with_kept_data_goes_on_without_them_and_the_other_way_round(run):
    whole = run("whole", "off")
    for name, before, after in (("one", "on", "off"), ("two", "off", "on")):
        run(name, before, max_hours=1e-9)
        assert run(name, after, "--resume") == whole
