"""What is resumed is what would have been: same losses, same weights, bit for bit."""

import datetime
import json
import os
import random
import signal
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from autotrain.training.metrics import read_json_lines

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own
LOSSES = ("loss", "eval_loss", "grad_norm", "learning_rate")
# The worker, which sends itself a signal some seconds after it has noted the loss of a step: from outside, a whole run may
# be over before the signal is sent.
SIGNALLED = """
import os, sys, threading
from autotrain.trainers.clm.__main__ import main
from autotrain.training.metrics import JsonLines
number, step, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
plain = JsonLines.append
def append(lines, row):
    plain(lines, row)
    if row["step"] >= step and "loss" in row:
        JsonLines.append = plain
        if seconds:
            threading.Timer(seconds, os.kill, (os.getpid(), number)).start()
        else:
            os.kill(os.getpid(), number)
JsonLines.append = append
sys.exit(main(sys.argv[4:]))
"""


@pytest.fixture
def fields(tiny_model, chat_folder):
    return {
        "model": str(tiny_model),
        "project_name": "run",
        "trainer": "sft",
        "data_path": str(chat_folder),
        "valid_split": "valid",
        "peft": True,
        "lr": 5e-3,
        "epochs": 4,
        "batch_size": 2,
        "gradient_accumulation": 1,
        "logging_steps": 1,
        "num_sample_prompts": 1,
        "save_steps": 2,
        "lora_dropout": 0.1,
    }


def trace(folder):
    """All numbers of a run that don't depend on the clock, and its final weights."""
    rows = [{key: row[key] for key in (*LOSSES, "step") if key in row} for row in read_json_lines(folder / "metrics.jsonl")]
    return rows, load_file(folder / "adapter_model.safetensors"), read_json_lines(folder / "samples.jsonl")


def assert_same_run(one, other):
    (rows, weights, samples), (other_rows, other_weights, other_samples) = trace(one), trace(other)
    assert rows == other_rows
    assert samples == other_samples
    assert weights.keys() == other_weights.keys()
    assert all(weights[name].equal(other_weights[name]) for name in weights)


def start(tmp_path, fields, *flags, program=("-m", "autotrain.trainers.clm")):
    config = tmp_path / f"{fields['project_name']}.json"
    config.write_text(json.dumps(fields))
    command = [sys.executable, *program, "train", "--training_config", str(config), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def signalled(number, step, seconds=0.0):
    return ("-c", SIGNALLED, str(int(number)), str(step), str(seconds))


def finish(process):
    output, _ = process.communicate(timeout=400)
    return process.returncode, output


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_issues_349_218_238_486_a_stopped_run_resumed_ends_as_if_it_had_not_been_stopped(tmp_path, fields, number):
    whole = start(tmp_path, {**fields, "project_name": "whole"})
    code, output = finish(whole)
    assert code == 0, output
    code, output = finish(start(tmp_path, fields, program=signalled(number, 7)))
    assert code == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number], output
    if number != signal.SIGKILL:
        assert "--resume" in output
        assert json.loads((tmp_path / "run" / "state.json").read_text())["stage"] == "interrupted"
    code, output = finish(start(tmp_path, fields, "--resume"))
    assert code == 0, output
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_defect_3_twenty_kills_at_random_moments_change_nothing(tmp_path, fields):
    fields = {**fields, "epochs": 12, "save_total_limit": 2}
    code, output = finish(start(tmp_path, {**fields, "project_name": "whole"}))
    assert code == 0, output
    generator = random.Random(7)
    step = 0
    for _ in range(20):
        flags = ["--resume"] if (tmp_path / "run").exists() else []
        step = min(step + generator.randint(3, 8), 130)
        program = signalled(signal.SIGKILL, step, generator.random() * 0.05)
        code, output = finish(start(tmp_path, fields, *flags, program=program))
        assert code == -9, output
    code, output = finish(start(tmp_path, fields, "--resume"))
    assert code == 0, output
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_resuming_a_finished_run_does_nothing_and_exits_0(run_worker, fields, tmp_path):
    assert run_worker(**fields) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert run_worker("--resume", **fields) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_resuming_with_other_parameters_or_other_data_is_refused(run_worker, fields, tmp_path, capsys):
    assert run_worker(**{**fields, "max_hours": 1e-9}) == 0
    assert run_worker("--resume", **{**fields, "lr": 1e-4}) == 2
    assert "lr (was 0.005, is 0.0001)" in capsys.readouterr().err
    train = tmp_path / "data" / "train.jsonl"
    train.write_text(train.read_text().replace("red", "pink"))
    assert run_worker("--resume", **fields) == 2
    assert "the data of split train" in capsys.readouterr().err


def test_an_occupied_folder_is_refused_and_keeps_everything(run_worker, fields, tmp_path, capsys):
    assert run_worker(**fields) == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert run_worker(**fields) == 2
    message = capsys.readouterr().err
    assert "--resume" in message and "--overwrite" in message
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_files_that_no_run_made_are_never_overwritten(run_worker, fields, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("years of work")
    for flags in ([], ["--overwrite"], ["--resume"]):
        assert run_worker(*flags, **fields) == 2
        assert "thesis.txt" in capsys.readouterr().err
    assert (tmp_path / "run" / "thesis.txt").read_text() == "years of work"


def test_overwriting_a_run_starts_anew(run_worker, fields, tmp_path):
    assert run_worker(**fields) == 0
    assert run_worker("--overwrite", **{**fields, "epochs": 1}) == 0
    assert max(row["step"] for row in read_json_lines(tmp_path / "run" / "metrics.jsonl")) == 12


def test_max_hours_saves_and_stops_and_the_rest_can_follow(run_worker, fields, tmp_path):
    assert run_worker(**{**fields, "project_name": "whole"}) == 0
    assert run_worker(**{**fields, "max_hours": 1e-9}) == 0
    assert json.loads((tmp_path / "run" / "state.json").read_text())["stage"] == "stopped"
    assert run_worker("--resume", **fields) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_a_template_that_writes_the_date_writes_that_of_the_runs_first_day_after_a_resume(
    run_worker, fields, tmp_path, monkeypatch
):
    template = tmp_path / "dated.jinja"
    template.write_text(
        "Today is {{ strftime_now('%d %B %Y') }}.\n{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    fields = {**fields, "chat_template": str(template), "num_sample_prompts": 0}
    assert run_worker(**{**fields, "project_name": "whole"}) == 0
    assert run_worker(**{**fields, "max_hours": 1e-9}) == 0

    class Later(datetime.date):
        @classmethod
        def today(cls):
            return datetime.date(2031, 5, 4)

    monkeypatch.setattr("autotrain.data.tokenizer.date", Later)
    assert run_worker("--resume", **fields) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "run")


def test_without_a_checkpoint_resuming_starts_anew_whatever_was_changed(run_worker, fields, tmp_path):
    """As after a run that failed early: the cause is mended in the config, and --resume goes on."""
    once = {**fields, "save_strategy": "no", "valid_split": None, "epochs": 1}
    del once["save_steps"]
    assert run_worker(**{**once, "lr": 1e30}) == 1
    assert run_worker("--resume", **{**once, "lr": 5e-3}) == 0
    assert json.loads((tmp_path / "run" / "state.json").read_text())["stage"] == "finished"
