"""What AutoTrain's users reported about runs and what comes out of them, held by one small run and some failing ones.

Numbers are those of its issues; `defect` and `fault` are those of the survey that this project began with.
"""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from autotrain.training.metrics import read_json_lines


def fields_of(model: Path, data: Path) -> dict[str, Any]:
    return {
        "model": str(model),
        "data_path": str(data),
        "project_name": "run",
        "trainer": "sft",
        "peft": True,
        "batch_size": 4,
        "gradient_accumulation": 1,
        "epochs": 2,
        "lr": 5e-3,
    }


@dataclass(frozen=True)
class Finished:
    folder: Path
    shown: str

    @property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "run.json").read_text())


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A LoRA run with a validation split, on a machine where bitsandbytes isn't installed."""
    from autotrain.trainers.clm.__main__ import main

    place, shown = tmp_path_factory.mktemp("regressions"), io.StringIO()
    rows = [
        {"messages": [{"role": "user", "content": f"Say {i}."}, {"role": "assistant", "content": f"{i}."}]}
        for i in "abcdefghij"
    ]
    for name, part in (("train", rows[:8]), ("valid", rows[8:])):
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    (place / "p.json").write_text(
        json.dumps(fields_of(tiny_model, place) | {"valid_split": "valid", "num_sample_prompts": 1})
    )
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.setitem(sys.modules, "bitsandbytes", None)
        patch.chdir(place)
        assert main(["train", "--training_config", str(place / "p.json")]) == 0
    return Finished(place / "run", shown.getvalue())


def test_issues_633_693_462_591_758_defect_1_a_valid_split_is_validated_on(finished: Finished):
    rows = read_json_lines(finished.folder / "metrics.jsonl")
    assert [row["step"] for row in rows if "eval_loss" in row] == [0, 2, 4]
    assert finished.record["data"]["valid"]["rows_in"] == 2


def test_defect_16_no_copy_of_the_data_is_made(finished: Finished):
    assert not [path for path in finished.folder.rglob("*") if path.suffix in (".arrow", ".csv", ".parquet")]
    assert finished.record["data"]["train"]["rows_in"] == 8  # and none of them stands in for validation


def test_defect_3_the_best_checkpoint_is_kept_and_is_the_result(finished: Finished):
    best = finished.record["results"]["best_step"]
    assert (finished.folder / "checkpoints" / f"checkpoint-{best}").is_dir()


def test_issues_212_684_the_end_says_where_the_model_is_and_how_to_use_it(finished: Finished):
    assert "the adapter is in: run/" in finished.shown
    assert "autotrain chat run" in finished.shown


def test_issue_528_fault_1_lora_needs_no_bitsandbytes(finished: Finished):
    """The fixture ran without it; and nothing of ours imports it where it is installed."""
    assert (finished.folder / "adapter_model.safetensors").is_file()
    assert finished.record["resolved"]["quantization"] is None


def test_issue_384_a_local_folder_is_a_base_model(finished: Finished, tiny_model: Path):
    config = json.loads((finished.folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model)


def test_defect_23_speed_and_time_left_are_shown(finished: Finished):
    assert "tokens/s" in finished.shown and " left" in finished.shown
    assert finished.record["timings"]["tokens_per_second"] > 0


def test_defect_2_fault_2_a_run_that_failed_exits_1(tiny_model: Path, chat_folder: Path, tmp_path: Path):
    """The whole way: command, launcher, worker.  A learning rate of 1e30 makes the second loss no number."""
    config = {
        "task": "llm-sft",
        "base_model": str(tiny_model),
        "project_name": "run",
        "data": {"path": str(chat_folder)},
        "params": {"lr": 1e30, "warmup_ratio": 0.0, "batch_size": 1, "gradient_accumulation": 1, "peft": True},
    }
    (tmp_path / "c.yml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "autotrain", "--config", "c.yml"]
    environment = {"AUTOTRAIN_HOME": str(tmp_path / "home")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "Lower lr" in done.stderr and "Traceback" not in done.stderr
    assert json.loads((tmp_path / "run" / "state.json").read_text())["stage"] == "failed"


def test_defect_21_a_split_that_does_not_exist_is_refused_and_nothing_is_written(
    run_worker: Any, tiny_model: Path, chat_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (chat_folder / "valid.jsonl").unlink()
    assert run_worker(**fields_of(tiny_model, chat_folder), valid_split="valid") == 2
    assert "no split 'valid'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_defect_15_an_int4_that_cannot_be_had_is_refused_if_asked_for(
    run_worker: Any, tiny_model: Path, chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert run_worker(**fields_of(tiny_model, chat_folder), quantization="int4") == 2
    assert "quantization: int4 needs bitsandbytes" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


ROTARY = (
    {"rope_type": "default", "rope_theta": 500000.0},
    {"rope_type": "linear", "rope_theta": 20000.0, "factor": 2.0},
    {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    },
)  # fmt: skip


@pytest.mark.parametrize("rotary", ROTARY, ids=[rotary["rope_type"] for rotary in ROTARY])
def test_fault_7_older_readers_find_the_rotary_settings_and_newer_ones_read_the_same(tmp_path: Path, rotary: dict[str, Any]):
    from transformers import AutoConfig, LlamaConfig

    from autotrain.output.older_readers import name_rotary_settings

    LlamaConfig(hidden_size=48, num_attention_heads=4, num_hidden_layers=1, rope_parameters=rotary).save_pretrained(tmp_path)
    before = AutoConfig.from_pretrained(tmp_path)
    name_rotary_settings(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["rope_theta"] == rotary["rope_theta"]
    scaling = {name: value for name, value in rotary.items() if name != "rope_theta"}
    assert written.get("rope_scaling") == (None if rotary["rope_type"] == "default" else scaling)
    assert AutoConfig.from_pretrained(tmp_path).rope_parameters == before.rope_parameters == rotary


@pytest.mark.parametrize("merged", [True, False])
def test_fault_7_full_and_merged_models_have_them(
    run_worker: Any, tiny_model: Path, chat_folder: Path, tmp_path: Path, merged: bool
):
    fields = fields_of(tiny_model, chat_folder) | {"peft": merged, "epochs": 1}
    assert run_worker(**fields, **({"merge_adapter": True} if merged else {})) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
