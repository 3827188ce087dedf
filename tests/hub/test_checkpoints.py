"""Checkpoints reach the hub without holding training up, and another machine goes on from them."""

import json
import shutil
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autotrain.errors import HubError, RunFolderError
from autotrain.hub.checkpoints import (
    CheckpointPush,
    checkpoint_branch,
    drop_checkpoints,
    pull_run,
    push_checkpoint,
    take_snapshot,
)
from autotrain.hub.client import open_api
from autotrain.hub.repo import Target, create
from autotrain.run_folder import check_free, read_state
from autotrain.trainers.clm.push import pull_checkpoint

TOKEN, TARGET = "hf_AnnsOwnSecretToken", Target("ann/my-run")


def checkpoint(folder: Path, step: int) -> None:
    path = folder / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True, exist_ok=True)
    (path / "progress.json").write_text(json.dumps({"step": step}))
    (path / "optimizer.pt").write_bytes(b"\0" + str(step).encode())


@pytest.fixture
def target(ann, folder) -> Target:
    create(open_api(TOKEN), TARGET)
    for step in (4, 8, 12):
        checkpoint(folder, step)
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "resolved": {"total_steps": 20}}))
    return TARGET


def on_the_hub(hub) -> set[str]:
    return {path for path in hub.files("model", "ann/my-run", "checkpoints") if path.startswith("checkpoints/")}


def test_the_newest_and_the_best_go_to_a_branch_of_their_own(ann, folder, target):
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, 4))
    there = ann.files("model", "ann/my-run", checkpoint_branch(target))
    assert {path.split("/")[1] for path in there if path.startswith("checkpoints/")} == {"checkpoint-12", "checkpoint-4"}
    assert {"training_params.json", "run.json", "metrics.jsonl", "samples.jsonl"} <= set(there)
    assert not any(path.startswith("checkpoints/") for path in ann.files("model", "ann/my-run"))


def test_no_data_log_or_path_goes_along(ann, folder, target, tmp_path):
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, None))
    there = ann.files("model", "ann/my-run", "checkpoints")
    assert not any(path.startswith(("data", "train.log")) for path in there)
    assert str(tmp_path).encode() not in b"".join(there.values()) and ann.places_with(TOKEN) == []


def test_a_newer_one_takes_the_place_of_the_older(ann, folder, target):
    api = open_api(TOKEN)
    for step in (8, 12):
        push_checkpoint(api, target, take_snapshot(folder, step, None))
    assert on_the_hub(ann) == {f"checkpoints/checkpoint-12/{name}" for name in ("progress.json", "optimizer.pt")}


def test_a_snapshot_outlives_the_checkpoint(folder, target):
    snapshot = take_snapshot(folder, 8, None)
    for file in (folder / "checkpoints" / "checkpoint-8").iterdir():
        file.unlink()
    assert (snapshot / "checkpoints" / "checkpoint-8" / "optimizer.pt").read_bytes() == b"\x008"


def test_a_snapshot_without_a_checkpoint_is_never_pushed(ann, folder, target):
    """It would take the place of the one that is there."""
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 8, None))
    before = ann.files("model", "ann/my-run", "checkpoints")
    empty = take_snapshot(folder, 12, None)
    shutil.rmtree(empty / "checkpoints")
    with pytest.raises(HubError, match="holds no checkpoint"):
        push_checkpoint(open_api(TOKEN), target, empty)
    assert ann.files("model", "ann/my-run", "checkpoints") == before


@contextmanager
def pushing_checkpoint_4(hub, folder: Path, target: Target) -> Generator[CheckpointPush]:
    """Inside, the hub is silent about the first checkpoint, and all else waits."""
    held = hub.fail("POST", "/commit/", status="slow", seconds=300)
    with CheckpointPush(folder, target, TOKEN) as checkpoints:
        try:
            checkpoints.offer(4, None)
            wait_for_a_commit(hub)
            yield checkpoints
            assert len(hub.sent("POST", "/commit/checkpoints")) == 1
        finally:
            held.over.set()
    assert list(folder.glob(".tmp-push-*")) == []


def wait_for_a_commit(hub) -> None:
    end = time.monotonic() + 120
    while not hub.sent("POST", "/commit/checkpoints"):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_training_never_waits_and_of_those_that_wait_the_last_one_goes(ann, folder, target):
    with pushing_checkpoint_4(ann, folder, target) as checkpoints:
        checkpoints.offer(8, None)
        checkpoints.offer(12, None)
    assert {path.split("/")[1] for path in on_the_hub(ann)} == {"checkpoint-12"}
    assert len(ann.sent("POST", "/commit/checkpoints")) == 2


def test_a_step_that_is_offered_twice_while_it_waits_gets_to_the_hub_whole(ann, folder, target):
    """As a run does that is told to stop as it has saved."""
    with pushing_checkpoint_4(ann, folder, target) as checkpoints:
        checkpoints.offer(8, None)
        checkpoints.offer(8, None)
    assert on_the_hub(ann) == {f"checkpoints/checkpoint-8/{name}" for name in ("progress.json", "optimizer.pt")}


def test_a_step_that_is_offered_again_while_it_is_pushed_stays_on_the_hub(ann, folder, target):
    with pushing_checkpoint_4(ann, folder, target) as checkpoints:
        checkpoints.offer(4, None)
    assert on_the_hub(ann) == {f"checkpoints/checkpoint-4/{name}" for name in ("progress.json", "optimizer.pt")}


def test_a_failed_one_fails_no_run_and_the_next_one_goes(ann, folder, target):
    ann.fail("POST", "/commit/", status=403)
    with CheckpointPush(folder, target, TOKEN) as checkpoints:
        checkpoints.offer(4, None)
        wait_for_a_commit(ann)
        checkpoints.offer(8, None)
    assert {path.split("/")[1] for path in on_the_hub(ann)} == {"checkpoint-8"}


def test_at_the_end_of_a_complete_run_nothing_is_waited_for_that_isnt_needed(ann, folder, target):
    with CheckpointPush(folder, target, TOKEN) as checkpoints:
        checkpoints._changed.acquire()  # the thread can't take it up yet
        checkpoints.offer(4, None)
        checkpoints.discard()
        checkpoints._changed.release()
    assert ann.sent("POST", "/commit/") == []


def test_without_a_target_nothing_happens(folder):
    with CheckpointPush(folder, None, None) as checkpoints:
        checkpoints.offer(4, None)
        assert "checkpoints" not in [thread.name for thread in threading.enumerate()]
    assert list(folder.glob(".tmp-push-*")) == []


def test_another_machine_goes_on_from_what_was_pushed(ann, folder, target, tmp_path, params):
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, 4))
    elsewhere = tmp_path / "elsewhere" / "my-run"
    ours = params(model="/other/place/tiny", data_path="/mnt/train.jsonl")
    assert pull_run(target, elsewhere, TOKEN, ours) == 12
    assert (elsewhere / "checkpoints/checkpoint-12/optimizer.pt").read_bytes() == b"\x0012"
    assert (elsewhere / "checkpoints/checkpoint-4/progress.json").is_file()
    state = read_state(elsewhere)
    assert state is not None and (state.stage, state.step, state.total_steps) == ("interrupted", 12, 20)
    pulled = json.loads((elsewhere / "training_params.json").read_text())
    assert (pulled["model"], pulled["data_path"]) == ("/other/place/tiny", "/mnt/train.jsonl")
    assert not (elsewhere / ".tmp-pull").exists() and not (elsewhere / ".cache").exists()


def test_other_data_is_not_taken_for_the_same(ann, folder, target, tmp_path, params):
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, None))
    elsewhere = tmp_path / "elsewhere"
    pull_run(target, elsewhere, TOKEN, params(data_path="/mnt/other.jsonl"))
    assert json.loads((elsewhere / "training_params.json").read_text())["data_path"] == "train.jsonl"


def test_a_run_that_cannot_go_on_here_leaves_nothing(ann, folder, target, tmp_path):
    """Otherwise the next try would go on from what lies here, whose paths aren't this machine's."""
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, None))

    def refuse(pulled: Path) -> None:
        assert (pulled / "training_params.json").is_file()
        raise RunFolderError("of another run")

    with pytest.raises(RunFolderError, match="of another run"):
        pull_run(target, tmp_path / "new", TOKEN, check=refuse)
    assert not (tmp_path / "new").exists()


def test_a_run_resumed_with_other_settings_is_refused_by_its_name_on_the_hub(ann, folder, target, tmp_path, params):
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, None))
    other = params(push_checkpoints=True, data_path="/mnt/other.jsonl")
    with pytest.raises(RunFolderError, match=r"ann/my-run was started with other parameters: data_path \(was 'train.jsonl'"):
        pull_checkpoint(tmp_path / "new", other)
    assert not (tmp_path / "new").exists()
    assert pull_checkpoint(tmp_path / "new", params(push_checkpoints=True)) == 12


def test_a_download_that_failed_goes_on_the_next_time(ann, folder, target, tmp_path, hurried):
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 8, None))
    ann.fail("GET|HEAD", "/resolve/.*optimizer", status=403, times=None)
    with pytest.raises(HubError):
        pull_run(target, tmp_path / "new", TOKEN)
    ann.failures.waiting.clear()
    check_free(tmp_path / "new", resume=True, overwrite=False)  # what came is in nobody's way
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, None))
    assert pull_run(target, tmp_path / "new", TOKEN) == 12
    assert {one.name for one in (tmp_path / "new" / "checkpoints").iterdir()} == {"checkpoint-12"}


def test_where_nothing_was_pushed_there_is_nothing_to_go_on_from(ann, folder, target, tmp_path):
    assert pull_run(target, tmp_path / "new", TOKEN) is None
    assert pull_run(Target("ann/never-seen"), tmp_path / "new", TOKEN) is None
    assert not (tmp_path / "new").exists()


def test_a_hub_that_fails_isnt_one_without_checkpoints(ann, folder, target, tmp_path, hurried):
    ann.fail("GET", "/api/models/", status=401, times=None, code="InvalidToken")
    with pytest.raises(HubError, match=r"checkpoints of ann/my-run"):
        pull_run(target, tmp_path / "new", TOKEN)


def test_a_download_that_was_cut_is_tried_again(ann, folder, target, tmp_path, hurried):
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, None))
    ann.fail("GET", "/resolve/", status="cut")
    assert pull_run(target, tmp_path / "new", TOKEN) == 12
    assert (tmp_path / "new/checkpoints/checkpoint-12/optimizer.pt").read_bytes() == b"\x0012"


def test_once_the_result_is_there_the_branch_goes(ann, folder, target):
    push_checkpoint(open_api(TOKEN), target, take_snapshot(folder, 12, None))
    drop_checkpoints(target, TOKEN)
    assert "checkpoints" not in ann.repositories["model", "ann/my-run"].branches
    drop_checkpoints(target, TOKEN)  # and may be gone already
