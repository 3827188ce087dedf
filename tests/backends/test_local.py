"""Launching on this machine: what the worker is given, and what comes back."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrain.backends.base import Job, find_backend
from autotrain.backends.local import worker_command
from autotrain.errors import ConfigError, Interrupted, PushError, TrainingError, UserError
from autotrain.params import LLMTrainingParams
from autotrain.project import AutoTrainProject
from autotrain.runs import list_runs

StandIn = Callable[[str], None]
REPORT = """\
import json, os, pathlib, stat, sys
file = pathlib.Path(sys.argv[1])
names = ("HF_TOKEN", "TOKENIZERS_PARALLELISM", "PYTHONUNBUFFERED")
pathlib.Path("report.json").write_text(json.dumps({
    "text": file.read_text(), "file": str(file), "mode": stat.S_IMODE(file.stat().st_mode), "argv": sys.argv[2:],
    "environment": {name: os.environ.get(name) for name in names}, "cwd": os.getcwd(), "pid": os.getpid(),
}))
"""


def params(**fields: object) -> LLMTrainingParams:
    return LLMTrainingParams.model_validate({"project_name": "run", "trainer": "sft"} | fields)


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def test_the_worker_gets_a_private_file_without_the_token_and_the_token_in_its_environment(
    stand_in: StandIn, tmp_path: Path
):
    stand_in(REPORT)
    returned = AutoTrainProject(params(token="my-token", lr=1e-4), overwrite=True).create()
    found = report(tmp_path)
    assert "my-token" not in found["text"] and json.loads(found["text"])["lr"] == 1e-4
    assert found["mode"] == 0o600 and not Path(found["file"]).exists()
    assert found["environment"] == {"HF_TOKEN": "my-token", "TOKENIZERS_PARALLELISM": "true", "PYTHONUNBUFFERED": "1"}
    assert (found["argv"], found["cwd"], found["pid"]) == (["train", "--overwrite"], str(tmp_path), returned)


def test_what_was_set_and_what_was_defaulted_survives_the_file(stand_in: StandIn, tmp_path: Path):
    stand_in(REPORT)
    AutoTrainProject(params(lr=1e-4)).create()
    again = LLMTrainingParams(**json.loads(report(tmp_path)["text"]))
    assert again.model_fields_set == {"project_name", "trainer", "lr"}


def test_the_command_is_the_worker_module_shielded_from_the_users_folder():
    command = worker_command("train", "FILE", ["--resume"])
    assert command[1:] == ["-P", "-m", "autotrain.trainers.clm", "train", "--training_config", "FILE", "--resume"]


@pytest.mark.parametrize(
    ("ending", "error"),
    [("sys.exit(2)", UserError), ("sys.exit(1)", TrainingError), ("sys.exit(3)", PushError)],
)
def test_failure_is_raised(stand_in: StandIn, ending: str, error: type[Exception]):
    stand_in(f"import sys\n{ending}\n")
    with pytest.raises(error):
        AutoTrainProject(params(), backend="local-cli", process=True).create()


@pytest.mark.parametrize(("code", "error"), [(2, UserError), (1, TrainingError), (130, Interrupted)])
def test_what_the_worker_said_is_in_the_exception(
    stand_in: StandIn, code: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write = "pathlib.Path(os.environ['AUTOTRAIN_REASON_FILE']).write_text('no column words in train.csv')"
    stand_in(f"import os, pathlib, sys\n{write}\nsys.exit({code})\n")
    monkeypatch.setattr(tempfile, "tempdir", str(own := tmp_path / "own"))
    own.mkdir()
    with pytest.raises(error, match=r"no column words in train\.csv"):
        AutoTrainProject(params()).create()
    assert list(own.iterdir()) == []


@pytest.mark.parametrize("ending", ["sys.exit(143)", "os.kill(os.getpid(), 15)"])
def test_interruption_is_raised_with_its_code(stand_in: StandIn, ending: str):
    stand_in(f"import os, sys\n{ending}\n")
    with pytest.raises(Interrupted) as caught:
        AutoTrainProject(params()).create()
    assert caught.value.exit_code == 143


def test_a_worker_killed_by_the_system_is_a_failure(stand_in: StandIn):
    stand_in("import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(TrainingError, match=r"137.*SIGKILL.*for want of memory"):
        AutoTrainProject(params()).create()


def test_a_worker_that_was_killed_is_told_of_with_the_command_that_goes_on(
    stand_in: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from autotrain import log

    log.start_logging()
    state = json.dumps({"stage": "training", "step": 3, "total_steps": 9, "pid": 1, "heartbeat": 0.0})
    write = f"pathlib.Path('run/state.json').write_text({state!r})"
    stand_in(f"import os, pathlib\npathlib.Path('run').mkdir()\n{write}\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(TrainingError):
        AutoTrainProject(params()).create()
    said = capsys.readouterr().err
    assert "error: the worker was ended by force (SIGKILL)" in said and "go on: autotrain runs resume 1" in said


def test_local_ui_returns_while_the_worker_runs_and_keeps_its_output(stand_in: StandIn, tmp_path: Path):
    stand_in("import time\nprint('hello', flush=True)\ntime.sleep(60)\n")
    began = time.monotonic()
    pid = AutoTrainProject(params(), backend="local-ui").create()
    assert time.monotonic() - began < 30
    assert isinstance(pid, int)
    (log_file,) = (tmp_path / "home" / "logs").iterdir()
    while log_file.read_text() != "hello\n":
        assert os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() - began < 50
        time.sleep(0.02)
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_a_run_is_registered_and_a_refused_one_forgotten(stand_in: StandIn, tmp_path: Path):
    state = {"stage": "finished", "step": 3, "total_steps": 3, "pid": 1, "heartbeat": 0.0}
    write = f"pathlib.Path('run/state.json').write_text('''{json.dumps(state)}''')"
    stand_in(f"import pathlib\npathlib.Path('run').mkdir()\n{write}\n")
    AutoTrainProject(params()).create()
    stand_in("import sys\nsys.exit(2)\n")
    with pytest.raises(UserError):
        AutoTrainProject(params(project_name="other")).create()
    (run,) = list_runs()
    assert (run.entry.name, run.entry.folder, run.stage, run.step) == ("run", tmp_path / "run", "finished", 3)


def test_a_home_that_cant_be_written_fails_no_run(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stand_in(REPORT)
    (tmp_path / "file").touch()
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "file" / "home"))
    AutoTrainProject(params()).create()
    assert report(tmp_path)


REFUSED = [
    ({"backend": "nvcf-h100x8"}, "not available in this version.*or local"),
    ({"backend": "lokal"}, "did you mean 'local'"),
    ({"params": params(push_to_hub=True)}, "push_to_hub: there is no token"),
    ({"params": params(model="./nowhere")}, "base_model: no folder ./nowhere"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_what_cant_run_is_refused_before_a_worker_starts(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict, message: str
):
    stand_in(REPORT)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UserError, match=message):
        AutoTrainProject(**({"params": params()} | fields)).create()
    assert not (tmp_path / "report.json").exists()


def test_an_occupied_folder_is_refused_before_a_worker_starts(stand_in: StandIn, tmp_path: Path):
    stand_in(REPORT)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").touch()
    with pytest.raises(UserError, match=r"mine\.txt"):
        AutoTrainProject(params()).create()
    assert not (tmp_path / "report.json").exists()


def test_planning_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    plan = find_backend("local").plan(Job(params(), resume=True))
    assert plan.text.endswith("train --training_config <temporary file> --resume")
    assert list(tmp_path.iterdir()) == []


def test_a_backend_that_isnt_here_is_refused():
    with pytest.raises(ConfigError, match="nvcf-h100x8 is not available"):
        find_backend("nvcf-h100x8")
