"""`autotrain runs`: the list, and what it does with one run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from autotrain.run_folder import RunFolder, claim
from autotrain.runs import Seen, note_seen, register, register_cloud

DEAD = 2**22 - 3  # a process id that no process of a test machine has
PARAMS = {"model": "gpt2", "project_name": "my-run", "trainer": "sft", "data_path": "rows.jsonl"}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))


@pytest.fixture
def run(folder: Path) -> Path:
    """A run whose machine went down at step 4."""
    return make_run(folder / "my-run")


def make_run(folder: Path, stage: str = "training", message: str = "") -> Path:
    folder.mkdir()
    state = {"stage": stage, "step": 4, "total_steps": 9, "pid": DEAD, "heartbeat": 1.0, "message": message}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "metrics.jsonl").write_text('{"step": 4, "loss": 2.25}\n')
    (folder / "training_params.json").write_text(json.dumps(PARAMS | {"project_name": folder.name}))
    (folder / "train.log").write_text("one\ntwo\nthree\n")
    register(folder.name, folder, "local", DEAD)
    return folder


def hold(folder: Path) -> RunFolder:
    """Write to it as a worker does."""
    return claim(folder, resume=True, overwrite=False)


def facts(text: str) -> dict[str, str]:
    return {name: value.strip() for name, value in (line.split(":", 1) for line in text.splitlines())}


# The list


def test_the_list_shows_number_stage_step_loss_and_place(autotrain, run: Path):
    header, line, *_ = autotrain("runs").stdout.splitlines()
    assert header.split() == ["ID", "NAME", "STAGE", "STEP", "LOSS", "STARTED", "BACKEND", "WHERE"]
    assert line.split()[:5] == ["1", "my-run", "stopped", "4/9", "2.2500"] and line.endswith("  local    my-run")


def test_the_list_says_how_to_go_on_after_a_crash(autotrain, run: Path):
    assert autotrain("runs").stdout.endswith("\ngo on where one stopped: autotrain runs resume 1 (my-run)\n")


def test_a_run_in_the_cloud_that_has_ended_is_listed_without_asking(autotrain, folder: Path):
    number = register_cloud("there", "jobs-t4-small", "ada/1f", "ada/there", "https://hub.test/jobs/ada/1f")
    assert number is not None
    note_seen(number, Seen("finished", "", 9, 9, 1.25))
    _, line, *_ = autotrain("runs", HF_ENDPOINT="http://127.0.0.1:9").stdout.splitlines()
    assert line.split()[1:5] == ["there", "finished", "9/9", "1.2500"]
    assert line.endswith("jobs-t4-small  https://hub.test/jobs/ada/1f")


def test_a_cloud_that_cant_be_asked_hides_no_run(autotrain, run: Path):
    number = register_cloud("there", "jobs-t4-small", "ada/1f", "ada/there", "url")
    assert number is not None
    note_seen(number, Seen("running", "", 3, 9, 1.25))
    done = autotrain("runs", HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN="hf_abcdefghijk")
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[1].split()[1:5] == ["there", "unknown", "3/9", "1.2500"] and lines[2].split()[1] == "my-run"
    assert "note: 2: where it stands isn't known: " in done.stderr and "hf_abcdefghijk" not in done.stderr


@pytest.mark.parametrize("arguments", [("runs", "--json"), ("runs", "show", "1", "--json"), ("runs", "--json", "show", "1")])
def test_a_script_gets_json(autotrain, run: Path, arguments: tuple[str, ...]):
    (run / "metrics.jsonl").write_text('{"step": 4, "loss": NaN}\n')
    found = json.loads(autotrain(*arguments).stdout, parse_constant=pytest.fail)
    one = found[0] if arguments[-1] == "--json" and "show" not in arguments else found
    assert (one["id"], one["name"], one["stage"], one["step"], one["total_steps"]) == (1, "my-run", "stopped", 4, 9)
    assert (one["loss"], one["is_live"], one["folder"], one["process"], one["url"]) == (None, False, str(run), DEAD, None)
    assert "its worker ended without saying why" in one["reason"] and abs(one["started"] - time.time()) < 600


def test_an_empty_list_is_json_too_and_other_actions_have_none(autotrain):
    assert json.loads(autotrain("runs", "--json").stdout) == []
    done = autotrain("runs", "--json", "rm", "1")
    assert done.returncode == 2 and "--json: for the list and for show" in done.stderr


def test_a_terminal_that_lacks_characters_hides_no_run(autotrain, folder: Path):
    make_run(folder / "mod\u00e8le-\u6a21\u578b")
    done = autotrain("runs", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0 and "mod\\xe8le-\\u6a21\\u578b" in done.stdout


# show


def test_show_says_what_happened_and_what_to_do(autotrain, run: Path):
    found = facts(autotrain("runs", "show", "my-run").stdout)
    assert found["stage"] == "stopped: its worker ended without saying why: it was killed, or the machine went down"
    assert (found["step"], found["training loss"]) == ("4 of 9", "2.2500")
    assert (found["base model"], found["trainer"], found["data"]) == ("gpt2", "sft", "rows.jsonl")
    assert (found["folder"], found["log"]) == (str(run), str(run / "train.log"))
    assert found["next"] == "autotrain runs resume 1"


@pytest.mark.parametrize(
    ("stage", "message", "said", "next_command"),
    [
        ("finished", "", "finished at step 4 of 9", "autotrain chat {}"),
        ("failed", "the loss is nan", "failed: the loss is nan", "autotrain runs resume 1"),
        ("interrupted", "interrupted at step 4 of 9", "interrupted: interrupted at step 4 of 9", "autotrain runs resume 1"),
        ("stopped", "", "stopped: max_hours were over; the model so far was written", "autotrain runs resume 1"),
    ],
)
def test_each_ending_has_its_next_command(autotrain, folder: Path, stage: str, message: str, said: str, next_command: str):
    run = make_run(folder / "my-run", stage, message)
    found = facts(autotrain("runs", "show", "1").stdout)
    assert (found["stage"], found["next"]) == (said, next_command.format(run))


def test_a_live_run_is_followed_or_stopped(autotrain, run: Path):
    held = hold(run)
    found = facts(autotrain("runs", "show", "1").stdout)
    held.release()
    assert (found["stage"], found["next"]) == (
        "training at step 4 of 9",
        "autotrain runs logs -f 1, or autotrain runs stop 1",
    )
    assert "s ago" in found["last sign of life"]


@pytest.mark.parametrize("action", ["show", "logs", "stop", "rm", "resume"])
def test_an_unknown_run_is_refused_with_the_nearest_name(autotrain, run: Path, action: str):
    done = autotrain("runs", action, "my-rnu")
    assert done.returncode == 2 and "no run my-rnu; did you mean my-run?" in done.stderr and done.stdout == ""


def test_an_unknown_action_is_refused(autotrain):
    done = autotrain("runs", "pause", "1")
    assert done.returncode == 2 and "pause" in done.stderr and "resume" in done.stderr


# logs


def test_logs_writes_the_log_or_its_end_and_masks_tokens(autotrain, run: Path):
    (run / "train.log").write_text("one\nmy token is hf_abcdefghijklmnop\nthree\n")
    assert autotrain("runs", "logs", "my-run").stdout == "one\nmy token is hf_****\nthree\n"
    assert autotrain("runs", "logs", "1", "--lines", "1").stdout == "three\n"


def test_following_a_run_that_has_ended_ends(autotrain, run: Path):
    assert autotrain("runs", "logs", "-f", "-n", "2", "1").stdout == "two\nthree\n"


@pytest.mark.parametrize(
    ("stage", "code"), [("finished", 0), ("stopped", 0), ("failed", 1), ("interrupted", 1), ("training", 1)]
)
def test_the_exit_code_of_following_tells_how_the_run_ended(autotrain, folder: Path, stage: str, code: int):
    """`stopped` in state.json: max_hours were over, with the model written; `training` without a worker: it was killed."""
    make_run(folder / "my-run", stage)
    assert autotrain("runs", "logs", "-f", "1").returncode == code
    assert autotrain("runs", "logs", "1").returncode == 0


def test_a_run_without_a_log_is_explained(autotrain, run: Path):
    (run / "train.log").unlink()
    done = autotrain("runs", "logs", "1")
    assert done.returncode == 2 and f"no log in {run}" in done.stderr


# stop


@pytest.fixture
def worker(tmp_path: Path) -> Generator["subprocess.Popen[bytes]"]:
    """A process that says it saved when it is asked to leave."""
    program = (
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n    pathlib.Path('saved.txt').touch()\n    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\npathlib.Path('ready.txt').touch()\ntime.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, process_group=0)
    while not (tmp_path / "ready.txt").exists():
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def test_stop_lets_a_run_save(autotrain, run: Path, tmp_path: Path, worker: "subprocess.Popen[bytes]"):
    register("my-run", run, "local-ui", worker.pid)
    done = autotrain("runs", "stop", "my-run")
    assert done.returncode == 0 and worker.wait(30) == 143 and (tmp_path / "saved.txt").exists()
    assert "asked to save and leave; after 120 s it will be ended by force" in done.stderr
    assert done.stdout.startswith("my-run: stopped") and "go on: autotrain runs resume 1" in done.stdout


def test_stop_now_ends_it_by_force(autotrain, run: Path, worker: "subprocess.Popen[bytes]"):
    register("my-run", run, "local-ui", worker.pid)
    worker.send_signal(signal.SIGSTOP)  # so that it can't be quicker
    done = autotrain("runs", "stop", "--now", "1")
    assert "ended by force; stopped" in done.stdout and worker.wait(30) in (-signal.SIGKILL, 143)


def test_stopping_what_has_ended_changes_nothing(autotrain, run: Path):
    done = autotrain("runs", "stop", "1")
    assert done.returncode == 0 and done.stdout.startswith("my-run isn't running: stopped")


# rm


def test_rm_takes_a_run_out_of_the_list_and_keeps_its_folder(autotrain, run: Path):
    done = autotrain("runs", "rm", "my-run")
    assert done.stdout == f"my-run is no longer listed; its folder stays: {run}\n" and (run / "state.json").exists()
    assert autotrain("runs").stdout.startswith("no runs yet")


def test_rm_with_folder_deletes_it_when_told_to(autotrain, run: Path):
    done = autotrain("runs", "rm", "1", "--folder")
    assert done.returncode == 2 and f"to delete {run} (" in done.stderr and "add --yes" in done.stderr and run.exists()
    assert autotrain("runs", "rm", "1", "--folder", "--yes").returncode == 0
    assert not run.exists() and autotrain("runs").stdout.startswith("no runs yet")


def test_rm_never_deletes_files_that_no_run_made(autotrain, run: Path):
    (run / "my-notes.txt").touch()
    done = autotrain("runs", "rm", "1", "--folder", "--yes")
    assert done.returncode == 2 and "my-notes.txt" in done.stderr and (run / "train.log").exists()


def test_a_running_run_isnt_removed(autotrain, run: Path):
    held = hold(run)
    done = autotrain("runs", "rm", "1", "--folder", "--yes")
    held.release()
    assert done.returncode == 2 and "stop it first: autotrain runs stop 1" in done.stderr and (run / "train.log").exists()


def test_options_for_the_other_place_are_refused(autotrain, run: Path):
    done = autotrain("runs", "rm", "1", "--remote")
    assert done.returncode == 2 and "ran on this machine; --folder deletes its folder" in done.stderr


# resume


def test_resume_of_a_finished_run_does_nothing(autotrain, folder: Path):
    make_run(folder / "my-run", "finished")
    done = autotrain("runs", "resume", "my-run")
    assert done.returncode == 0 and done.stdout == "my-run is finished, after 4 steps; nothing to resume\n"


def test_resume_of_a_running_run_is_refused(autotrain, run: Path):
    held = hold(run)
    done = autotrain("runs", "resume", "1")
    held.release()
    assert done.returncode == 2 and "my-run is still running; stop it first: autotrain runs stop 1" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: (run / "training_params.json").unlink(), "doesn't hold its parameters; with its config"),
        (
            lambda run: (run / "training_params.json").write_text('{"project_name": "other"}'),
            "was renamed from other to my-run",
        ),
    ],
)
def test_what_cant_be_resumed_is_explained(autotrain, run: Path, change, message: str):
    change(run)
    done = autotrain("runs", "resume", "1")
    assert done.returncode == 2 and message in done.stderr


def test_resume_goes_on_from_the_folder_where_the_run_was_started(autotrain, run: Path, tmp_path: Path):
    """The parameters hold a relative path; the message of the worker's check shows where it was looked for."""
    params = PARAMS | {"model": "./model-that-is-gone"}
    (run / "training_params.json").write_text(json.dumps(params))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = autotrain("runs", "resume", "1", "--backend", "nowhere")
    assert done.returncode == 2 and "no backend 'nowhere'" in done.stderr
    done = autotrain("runs", "resume", "1", PWD=str(elsewhere))
    assert done.returncode == 2 and "./model-that-is-gone" in done.stderr


def test_detach_is_for_the_cloud(autotrain, run: Path):
    done = autotrain("runs", "resume", "1", "--detach")
    assert done.returncode == 2 and "--backend local-ui" in done.stderr


def test_the_commands_answer_at_once(autotrain, run: Path):
    """In processor time, beside that of a Python that does nothing: a machine may be slow."""
    nothing = processor_seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
    assert processor_seconds(lambda: autotrain("runs")) < 0.4 + 10 * nothing


def processor_seconds(work: Callable[[], object]) -> float:
    """Of the processes that `work` starts and waits for."""
    before = os.times()
    work()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system
