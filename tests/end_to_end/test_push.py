"""Trained here, pushed, pulled back by a stranger, and answering; what fails on the way loses nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotrain.training.metrics import read_json_lines

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own
TOKEN = "hf_AnnsOwnSecretToken"

STRANGER = """
import sys, torch
from huggingface_hub import snapshot_download
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
folder = snapshot_download("ann/my-run")
tokenizer = AutoTokenizer.from_pretrained(folder)
if sys.argv[1:]:
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), folder)
else:
    model = AutoModelForCausalLM.from_pretrained(folder)
ids = tokenizer.apply_chat_template(
    [{"role": "user", "content": "Say red 1 times."}], add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**ids, max_new_tokens=4, do_sample=False)
assert answer.shape[1] > ids["input_ids"].shape[1]
sys.stdout.write("answered")
"""


@pytest.fixture
def fields(tiny_model, chat_folder):
    return {
        "model": str(tiny_model),
        "project_name": "my-run",
        "trainer": "sft",
        "data_path": str(chat_folder),
        "valid_split": "valid",
        "peft": True,
        "lr": 5e-3,
        "epochs": 2,
        "batch_size": 4,
        "gradient_accumulation": 1,
        "num_sample_prompts": 1,
        "log": "tensorboard",
        "push_to_hub": True,
    }


@pytest.fixture
def ann(hub):
    hub.add_user("ann", token=TOKEN)
    return hub


@pytest.fixture
def launch(tmp_path: Path):
    """Starts `autotrain` in `tmp_path` with a config; the token comes from the environment."""

    def start(fields: dict, *flags: str, folder: Path = tmp_path, token: str = TOKEN) -> "subprocess.Popen[str]":
        folder.mkdir(exist_ok=True)
        places = {"task": f"llm-{fields['trainer']}", "base_model": fields["model"], "project_name": fields["project_name"]}
        rest = {
            name: value for name, value in fields.items() if name not in ("trainer", "model", "project_name", "data_path")
        }
        config = {**places, "data": {"path": fields["data_path"]}, "params": rest}
        (folder / "c.json").write_text(json.dumps(config))
        home = {"AUTOTRAIN_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1", "HF_TOKEN": token}
        return subprocess.Popen(
            [sys.executable, "-m", "autotrain", "--config", "c.json", *flags],
            cwd=folder,
            env={**os.environ, **home},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    output, _ = process.communicate(timeout=400)
    return process.returncode, output


def wait_until_sent(hub, path: str, process: "subprocess.Popen[str]", method: str = "POST") -> None:
    """Until a request to `path` has come in from the run."""
    end = time.monotonic() + 400
    while not hub.sent(method, path):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, f"nothing was sent to {path}"
        time.sleep(0.02)


def autotrain_push(folder: Path) -> int:
    """`autotrain push my-run` in `folder`; returns its exit code."""
    environment = {**os.environ, "AUTOTRAIN_HOME": str(folder / "home"), "HF_TOKEN": TOKEN}
    command = [sys.executable, "-m", "autotrain", "push", "my-run"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=300).returncode


def assert_secret(hub, folder: Path, output: str) -> None:
    """The token is in no upload, request, log or file of the run."""
    assert hub.places_with(TOKEN) == []
    assert TOKEN not in output
    for file in folder.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file


def as_a_stranger(tmp_path: Path, *arguments: str) -> str:
    """Pull back with the real client, as another user with another cache, and generate."""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "stranger"), "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", STRANGER, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_the_card(hub, repo_id: str, tmp_path: Path) -> str:
    """Copy the lines of the card on the hub and run them, elsewhere and with a token that may only read."""
    hub.add_user("stranger", token="hf_StrangersToken", role="read")
    hub.repositories["model", repo_id].private = False
    found = re.search(r"```python\n(.*?)```", hub.files("model", repo_id)["README.md"].decode(), re.S)
    assert found and f'folder = "{repo_id}"' in found[1]
    code = found[1].replace("max_new_tokens=200", "max_new_tokens=4")
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "stranger"),
        "HF_TOKEN": "hf_StrangersToken",
        "OMP_NUM_THREADS": "1",
    }
    (tmp_path / "elsewhere").mkdir()
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path / "elsewhere", env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_adapter_is_trained_pushed_pulled_back_and_answers(ann, launch, fields, tmp_path, tiny_model, chat_folder):
    code, output = finish(launch(fields))
    assert code == 0, output
    folder, there = tmp_path / "my-run", ann.files("model", "ann/my-run")
    assert ann.repositories["model", "ann/my-run"].private
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= set(there)
    assert {"README.md", "loss_curve.svg", "metrics.jsonl", "training_params.json"} <= set(there)
    assert any(path.startswith("runs/events") for path in there)
    assert not any(path.startswith(("checkpoints", "data", "train.log", "state")) for path in there)
    assert there["adapter_model.safetensors"] == (folder / "adapter_model.safetensors").read_bytes()
    rows = [row["messages"][1]["content"] for row in read_json_lines(chat_folder / "train.jsonl")]
    texts = b"".join(content for path, content in there.items() if not path.startswith("tokenizer"))
    assert str(tmp_path).encode() not in b"".join(there.values()), "a path of this machine was uploaded"
    assert str(tiny_model).encode() not in b"".join(there.values())
    assert sum(row.encode() in texts for row in rows if len(row) > 30) == 0
    assert_secret(ann, folder, output)
    assert as_a_stranger(tmp_path, str(tiny_model)) == "answered"


def test_a_repeated_run_updates_and_a_merged_model_takes_the_adapters_place(ann, launch, fields, tmp_path):
    assert finish(launch(fields))[0] == 0
    code, output = finish(launch({**fields, "merge_adapter": True, "seed": 7}, "--overwrite"))
    assert code == 0, output
    there = ann.files("model", "ann/my-run")
    assert {"config.json", "model.safetensors", "adapter/adapter_config.json"} <= set(there)
    assert "adapter_config.json" not in there
    assert_secret(ann, tmp_path / "my-run", output)
    assert as_a_stranger(tmp_path) == "answered"
    run_the_card(ann, "ann/my-run", tmp_path)


def test_a_reward_model_for_a_base_of_the_hub_scores_by_the_lines_of_its_card(ann, launch, fields, tmp_path, tiny_model):
    ann.add_repo("model", "acme/tiny", files={file.name: file.read_bytes() for file in tiny_model.iterdir()})
    pairs = [{"prompt": f"Say {word}.", "chosen": f"{word}.", "rejected": "no"} for word in "red blue green small".split()]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    reward = {"trainer": "reward", "model": "acme/tiny", "data_path": str(tmp_path / "pairs.jsonl"), "valid_split": None}
    code, output = finish(launch({**fields, **reward, "chat_template": "tokenizer", "log": "none"}))
    assert code == 0, output
    assert "adapter_config.json" in ann.files("model", "ann/my-run")
    float(run_the_card(ann, "ann/my-run", tmp_path))


def test_what_cant_work_is_refused_before_training_and_nothing_is_written(ann, launch, fields, tmp_path):
    code, output = finish(launch({**fields, "username": "others"}))
    assert code == 2 and "who is not in others" in output and not (tmp_path / "my-run").exists()
    # Only making the repository shows it: the data and the model were looked at, but nothing was trained.
    ann.fail("POST", "/api/repos/create", status=403, message="Your organisation makes no new repositories", times=None)
    code, output = finish(launch(fields))
    assert code == 2 and "makes no new repositories" in output and not (tmp_path / "my-run").exists()
    assert ann.repositories == {} and TOKEN not in output


def test_a_push_that_fails_ends_with_3_says_where_the_model_lies_and_resume_takes_it_up(ann, launch, fields, tmp_path):
    ann.fail("POST", "/commit/main", status=403, message="A policy was changed meanwhile")
    code, output = finish(launch(fields))
    folder = tmp_path / "my-run"
    assert code == 3, output
    assert "trained, but not pushed" in (folder / "train.log").read_text()
    assert "A policy was changed meanwhile" in output and f"the model is complete in {folder}" in output
    assert "autotrain push my-run" in output
    assert json.loads((folder / "state.json").read_text())["stage"] == "finished"
    assert (folder / "adapter_model.safetensors").is_file()
    code, output = finish(launch(fields, "--resume"))
    assert code == 0 and "pushed: " in output, output
    assert "adapter_config.json" in ann.files("model", "ann/my-run")
    code, output = finish(launch(fields, "--resume"))
    assert code == 0 and "nothing to resume" in output
    assert_secret(ann, folder, output)


def test_a_signal_during_the_upload_says_where_the_model_lies_and_push_takes_it_up(ann, launch, fields, tmp_path):
    ann.fail("POST", "/commit/main", status="slow", seconds=120)
    process = launch({**fields, "log": "none"})
    wait_until_sent(ann, "/commit/main", process)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    folder = tmp_path / "my-run"
    assert code == 143, output
    said = f"the upload was interrupted: the model is complete in {folder}; take it up again: autotrain push my-run"
    assert said in output and said in (folder / "train.log").read_text()
    assert autotrain_push(tmp_path) == 0
    assert (
        ann.files("model", "ann/my-run")["adapter_model.safetensors"] == (folder / "adapter_model.safetensors").read_bytes()
    )
    assert_secret(ann, folder, output)


def test_a_worker_killed_during_the_upload_loses_nothing(ann, launch, fields, tmp_path):
    held = ann.fail("PUT", "/lfs/", status="slow", seconds=300, times=None)
    process = launch({**fields, "log": "none"})
    wait_until_sent(ann, "/lfs/", process, "PUT")
    os.kill(json.loads((tmp_path / "my-run" / "state.json").read_text())["pid"], signal.SIGKILL)
    assert finish(process)[0] == 137
    assert not ann.sent("POST", "/commit/main")
    held.over.set()
    assert autotrain_push(tmp_path) == 0
    weights = (tmp_path / "my-run" / "adapter_model.safetensors").read_bytes()
    assert ann.files("model", "ann/my-run")["adapter_model.safetensors"] == weights


def test_a_run_that_fails_says_that_its_empty_repository_stays(ann, launch, fields, tmp_path):
    code, output = finish(launch({**fields, "lr": 1e30, "log": "none"}))
    assert code == 1 and "the loss is nan" in output, output
    assert "ann/my-run was made on the hub for the result, and stays there without one" in output
    assert "adapter_config.json" not in ann.files("model", "ann/my-run")


def test_a_hub_that_stumbles_costs_nothing_but_time(ann, launch, fields, tmp_path):
    failures = [ann.fail("PUT", "/lfs/", status="cut"), ann.fail("POST", "/preupload/", status=429)]
    code, output = finish(launch(fields))
    assert code == 0, output
    assert [failure.times for failure in failures] == [0, 0], output
    assert_secret(ann, tmp_path / "my-run", output)


def test_a_run_killed_on_one_machine_goes_on_on_another_from_its_pushed_checkpoint(ann, launch, fields, tmp_path):
    """The second machine has the data and the config, and ends with the very weights of an undisturbed run."""
    long = {**fields, "epochs": 60, "save_steps": 3, "push_checkpoints": True, "log": "none", "lora_dropout": 0.1}
    code, output = finish(launch({**long, "project_name": "whole"}, folder=tmp_path / "calm"))
    assert code == 0, output
    assert "checkpoints" not in ann.repositories["model", "ann/whole"].branches
    ann.fail("POST", "ann/my-run/super-squash", status="slow", seconds=300)  # the run can't end before it is answered
    process = launch(long, folder=tmp_path / "first")
    wait_until_sent(ann, "ann/my-run/super-squash", process)
    worker = json.loads((tmp_path / "first" / "my-run" / "state.json").read_text())["pid"]
    os.kill(worker, signal.SIGKILL)
    assert finish(process)[0] != 0
    assert "adapter_config.json" not in ann.files("model", "ann/my-run")
    code, output = finish(launch(long, "--resume", folder=tmp_path / "second"))
    assert code == 0, output
    assert "the hub has a checkpoint of ann/my-run at step" in output and "from step" in output
    weights = [(tmp_path / place / "adapter_model.safetensors").read_bytes() for place in ("calm/whole", "second/my-run")]
    assert weights[0] == weights[1]
    there = ann.files("model", "ann/my-run")
    assert there["adapter_model.safetensors"] == weights[1]
    assert not any(path.startswith("checkpoints") for path in there)
    assert "checkpoints" not in ann.repositories["model", "ann/my-run"].branches
    assert_secret(ann, tmp_path / "second", output)
    assert_secret(ann, tmp_path / "first", output)


def test_a_run_stopped_by_a_signal_waits_for_its_last_checkpoint(ann, launch, fields, tmp_path):
    long = {**fields, "epochs": 2000, "save_steps": 3, "push_checkpoints": True, "log": "none"}
    process = launch(long)
    wait_until_sent(ann, "/commit/checkpoints", process)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    assert code == 143, output
    step = json.loads((tmp_path / "my-run" / "state.json").read_text())["step"]
    assert f"checkpoints/checkpoint-{step}/progress.json" in ann.files("model", "ann/my-run", "checkpoints")


def test_max_hours_saves_pushes_and_stops(ann, launch, fields, tmp_path):
    code, output = finish(launch({**fields, "epochs": 2000, "max_hours": 0.0008, "push_checkpoints": True, "log": "none"}))
    assert code == 0, output
    assert json.loads((tmp_path / "my-run" / "state.json").read_text())["stage"] == "stopped"
    assert "adapter_config.json" in ann.files("model", "ann/my-run")
    assert "checkpoints" in ann.repositories["model", "ann/my-run"].branches
