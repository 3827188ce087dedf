"""A run on a machine in the cloud: what it fetches, how it ends, and that the machine doesn't go on costing money."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrain.api import remote, space
from autotrain.cloud.environment import RUN as START_VARIABLE
from autotrain.cloud.report import FAILED, FINISHED, STOPPED, End, discussion_title
from autotrain.hub.checkpoints import push_checkpoint
from autotrain.hub.client import open_api
from autotrain.hub.repo import Target

LastLine = Callable[[], End | None]


def test_a_run_that_ends_well_says_where_the_model_is(machine, last_line: LastLine):
    assert machine.run() == remote.Ended(0)
    assert last_line() == End(FINISHED, 0, url=f"{machine.hub.url}/jo/run")
    assert machine.watch.status().stage == FINISHED


def test_a_space_is_paused_and_tells_in_a_discussion(on_space):
    on_space.run()
    assert on_space.stage == "PAUSED"
    (told,) = on_space.told
    assert told.startswith(discussion_title(End(FINISHED, 0), "1a2b")) and "/jo/run" in told


def test_a_failed_run_tells_why_pauses_and_keeps_its_exit_code(on_space, last_line: LastLine):
    on_space.worker = "say('no column words in train.csv')\nsys.exit(2)"
    assert on_space.run().exit_code == 2
    assert last_line() == End(FAILED, 2, "no column words in train.csv")
    assert on_space.stage == "PAUSED"
    assert "no column words in train.csv" in on_space.told[0]
    assert on_space.watch.status().reason == "no column words in train.csv"


def test_pause_on_failure_0_leaves_a_failed_space_but_not_a_good_one(on_space):
    on_space.environment["PAUSE_ON_FAILURE"] = "0"
    on_space.worker = "sys.exit(1)"
    assert on_space.run() == remote.Ended(1, is_left_running=True)
    assert on_space.stage == "RUNNING"
    on_space.worker = "leave('finished')"
    assert on_space.run() == remote.Ended(0)
    assert on_space.stage == "PAUSED"


def test_what_is_refused_before_a_worker_starts_pauses_too(on_space, last_line: LastLine):
    assert on_space.run(model="./nowhere").exit_code == 2
    end = last_line()
    assert end and end.stage == FAILED and "no folder ./nowhere" in end.reason
    assert on_space.stage == "PAUSED"


def test_a_fault_of_ours_pauses_too(on_space, monkeypatch: pytest.MonkeyPatch, last_line: LastLine):
    def break_down(*_: object) -> None:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(remote, "submit", break_down)
    assert on_space.run().exit_code == 1
    end = last_line()
    assert end and "a fault of ours" in end.reason
    assert on_space.stage == "PAUSED"


@pytest.mark.parametrize("absent", ["HF_TOKEN", "PARAMS"])
def test_an_environment_that_lacks_something_is_explained(machine, last_line: LastLine, absent: str):
    machine.environment[absent] = ""
    assert machine.run().exit_code == 2
    end = last_line()
    assert end and f"the environment lacks {absent}" in end.reason


def test_parameters_that_are_none_are_explained(machine, last_line: LastLine):
    machine.environment["PARAMS"] = json.dumps({"project_name": "run", "lr": "fast"})
    assert machine.run().exit_code == 2
    end = last_line()
    assert end and "the variable PARAMS: lr: must be a number" in end.reason


def test_at_max_hours_the_model_so_far_is_there_and_the_run_can_go_on(on_space, last_line: LastLine):
    on_space.worker = "leave('stopped', 3, 9)"
    assert on_space.run(max_hours=2).exit_code == 0
    end = last_line()
    assert end and (end.stage, end.url) == (STOPPED, f"{on_space.hub.url}/jo/run")
    assert "after step 3 of 9" in end.reason and "--resume" in end.reason
    assert on_space.stage == "PAUSED"


@pytest.mark.parametrize("max_hours", [1 / 3600, 1e-9])
def test_a_run_that_hangs_is_ended(on_space, monkeypatch: pytest.MonkeyPatch, last_line: LastLine, max_hours: float):
    """Even before it has a worker: that looked like a stop from outside, and the Space stayed on."""
    monkeypatch.setattr(remote, "GRACE_SECONDS", 0.0)
    on_space.worker = (
        "import signal, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\nwhile True: time.sleep(1)"
    )
    assert on_space.run(max_hours=max_hours).exit_code == 1
    end = last_line()
    assert end and "after max_hours" in end.reason
    assert on_space.stage == "PAUSED"


def test_a_machine_that_is_stopped_from_outside_saves_and_is_not_paused_by_itself(on_space, last_line: LastLine):
    """It may be starting anew: a pause would hit its next run."""
    on_space.worker = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (leave('interrupted'), sys.exit(143)))\n"
        "os.kill(os.getppid(), signal.SIGTERM)\nwhile True: time.sleep(1)"
    )
    assert on_space.run() == remote.Ended(143)
    end = last_line()
    assert end and (end.stage, end.exit_code) == (STOPPED, 143)
    assert on_space.stage == "RUNNING"


def test_defect_7_a_push_that_failed_is_tried_again_before_the_machine_is_lost(on_space, last_line: LastLine):
    """Regression: AutoTrain's Space trained, paused, and the model was gone (DEFECT-7)."""
    on_space.worker = "leave('finished')\nsay('the hub is full')\nsys.exit(3)"
    assert on_space.run().exit_code == 0
    assert last_line() == End(FINISHED, 0, url=f"{on_space.hub.url}/jo/run")
    assert on_space.hub.files("model", "jo/run")["adapter_model.safetensors"] == b"weights"


def test_a_push_that_never_works_is_a_failure_that_says_what_is_lost_and_what_is_kept(on_space, last_line: LastLine):
    on_space.worker = "leave('finished')\nsay('the hub is full. Nothing is lost: autotrain push run')\nsys.exit(3)"
    on_space.hub.fail("POST", "/api/models/jo/run/commit", 403, times=None)
    assert on_space.run(push_checkpoints=True).exit_code == 3
    end = last_line()
    assert end and end.stage == FAILED and "forbids" in end.reason and "tried 2 times more" in end.reason
    assert "lost with this machine's disk" in end.reason and "Nothing is lost" not in end.reason
    assert "the branch checkpoints of jo/run is kept, and --resume goes on" in end.reason
    assert end.reason in on_space.told[0]
    assert on_space.stage == "PAUSED"


def test_a_late_push_leaves_no_checkpoints_behind(on_space):
    on_space.hub.add_repo("model", "jo/run", {"README.md": ""}, private=True)
    on_space.hub.add_files("model", "jo/run", {"checkpoints/checkpoint-1/progress.json": "{}"}, revision="checkpoints")
    on_space.worker = "leave('finished')\nsay('the hub is full')\nsys.exit(3)"
    assert on_space.run(push_checkpoints=True).exit_code == 0
    assert on_space.hub.repositories["model", "jo/run"].find("checkpoints") is None


def test_a_machine_that_is_stopped_while_it_waits_to_push_says_so(
    on_space, last_line: LastLine, monkeypatch: pytest.MonkeyPatch
):
    def stop(_: float) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(remote._push_again, "__defaults__", (stop,))
    on_space.worker = "leave('finished')\nsay('the hub is full')\nsys.exit(3)"
    assert on_space.run().exit_code == 143
    end = last_line()
    assert end and end.reason == "stopped from outside before the trained model was pushed: the hub is full"


def test_a_worker_that_is_killed_is_told_of_and_the_space_paused(on_space, last_line: LastLine):
    """As the system does where memory is short."""
    on_space.worker = "leave('training')\nimport signal\nos.kill(os.getpid(), signal.SIGKILL)"
    assert on_space.run().exit_code == 137
    end = last_line()
    assert end and end.stage == FAILED and "SIGKILL" in end.reason and "memory" in end.reason
    assert on_space.stage == "PAUSED" and "memory" in on_space.told[0]


def test_a_fault_while_telling_doesnt_keep_a_space_from_its_pause(on_space, monkeypatch: pytest.MonkeyPatch):
    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(space, "tell", break_down)
    with pytest.raises(ZeroDivisionError):
        on_space.run()
    assert on_space.stage == "PAUSED"


def test_an_uploaded_data_set_is_read_from_its_files(machine):
    machine.hub.add_repo("dataset", "jo/rows", {"train.jsonl": '{"text": "a"}\n'}, private=True)
    machine.data_revision = machine.hub.repositories["dataset", "jo/rows"].find("main").id
    machine.worker = (
        "path = json.loads(pathlib.Path(sys.argv[1]).read_text())['data_path']\n"
        "pathlib.Path('seen').write_text(path + ' ' + pathlib.Path(path, 'train.jsonl').read_text())"
    )
    assert machine.run().exit_code == 0
    assert (machine.folder / "seen").read_text() == 'data-files {"text": "a"}\n'


@pytest.mark.parametrize("resume", [True, False])
def test_the_worker_is_told_to_resume_if_the_machine_is(machine, resume: bool):
    machine.resume = resume
    machine.worker = "leave('finished')\npathlib.Path('options').write_text(str(sys.argv[2:]))"
    assert machine.run().exit_code == 0
    assert (machine.folder / "options").read_text() == str(["--resume"] if resume else [])


def test_a_container_that_was_started_again_goes_on_where_it_was(machine):
    machine.worker = "leave('training')\nsys.exit(1)"
    assert machine.run().exit_code == 1
    machine.worker = "leave('finished')\npathlib.Path('options').write_text(str(sys.argv[2:]))"
    assert machine.run().exit_code == 0
    assert (machine.folder / "options").read_text() == "['--resume']"


@pytest.mark.parametrize(("start", "options"), [("1a2b", "['--resume']"), ("0000", "[]")])
def test_on_an_empty_disk_it_goes_on_from_what_this_very_start_pushed(
    machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, start: str, options: str
):
    monkeypatch.setenv(START_VARIABLE, start)  # as the worker of the container before this one had it
    api = open_api(os.environ["HF_TOKEN"])
    api.create_repo("jo/run", private=True)
    snapshot = tmp_path / "snapshot"
    checkpoint = snapshot / "checkpoints" / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "progress.json").write_text('{"step": 3}')
    for _ in range(2):
        push_checkpoint(api, Target("jo/run"), snapshot)
    machine.worker = "leave('finished')\npathlib.Path('options').write_text(str(sys.argv[2:]))"
    assert machine.run(push_checkpoints=True).exit_code == 0
    assert (machine.folder / "options").read_text() == options


def test_where_nothing_was_pushed_it_begins(machine):
    machine.worker = "leave('finished')\npathlib.Path('options').write_text(str(sys.argv[2:]))"
    assert machine.run(push_checkpoints=True).exit_code == 0
    assert (machine.folder / "options").read_text() == "[]"


def test_a_space_that_cant_be_paused_at_first_is_paused_later(on_space, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(space, "_WAITS_SECONDS", (0.0, 0.0))
    on_space.hub.fail("POST", "/pause", 403)
    on_space.run()
    assert on_space.stage == "PAUSED"


def test_a_discussion_that_cant_be_opened_fails_nothing(on_space):
    on_space.hub.fail("POST", "/discussions", 403, times=None)
    assert on_space.run() == remote.Ended(0)
    assert on_space.stage == "PAUSED"


def test_a_sign_ins_token_opens_no_discussion(hub, on_space, monkeypatch: pytest.MonkeyPatch):
    """As in AutoTrain.  The last line of the log tells how it ended."""
    hub.add_user("jo", "hf_oauth_of_jo")
    monkeypatch.setenv("HF_TOKEN", "hf_oauth_of_jo")
    assert on_space.run() == remote.Ended(0)
    assert on_space.told == [] and on_space.stage == "PAUSED"


def test_defect_19_the_token_gets_nowhere(on_space, tmp_path: Path):
    """Regression: AutoTrain put the token into PARAMS and training_params.json (DEFECT-19)."""
    on_space.worker = "leave('finished')\nsay('token ' + os.environ['HF_TOKEN'])\nsys.exit(1)"
    on_space.run()
    assert on_space.hub.places_with("SecretOfTheMachine") == []
    assert "SecretOfTheMachine" not in on_space.watch.status().reason
    for file in on_space.folder.rglob("*"):
        assert not file.is_file() or b"SecretOfTheMachine" not in file.read_bytes()
