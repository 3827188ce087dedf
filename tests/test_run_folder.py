"""Who may write to a run's folder, and what a killed worker may leave there."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autotrain import run_folder
from autotrain.errors import RunFolderError
from autotrain.run_folder import FINISHED, TRAINING, check_free, claim, foreign_entries, read_state


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def test_only_one_worker_writes_to_a_folder(tmp_path: Path):
    first = claim(tmp_path / "run", resume=False, overwrite=False)
    first.set_state(TRAINING, 0, 10)
    with pytest.raises(RunFolderError, match="another worker is writing"):
        claim(tmp_path / "run", resume=True, overwrite=False)
    for resume, overwrite in ((False, False), (True, False), (False, True)):
        with pytest.raises(
            RunFolderError, match=rf"another worker is writing to .* \(process {os.getpid()}; step 0 of 10\)"
        ):
            check_free(tmp_path / "run", resume=resume, overwrite=overwrite)
    first.release()
    with pytest.raises(RunFolderError, match="holds a run already"):
        check_free(tmp_path / "run", resume=False, overwrite=False)
    claim(tmp_path / "run", resume=True, overwrite=False).release()


def test_a_folder_left_by_a_start_that_was_killed_is_free(tmp_path: Path):
    for name in (".lock", "train.log", ".tmp-state.json"):
        (tmp_path / name).touch()
    run = claim(tmp_path, resume=False, overwrite=False)
    run.set_state(TRAINING, 0, 10)
    run.release()
    assert names(tmp_path) == {".lock", "train.log", "state.json"}


def test_half_written_results_of_a_killed_worker_are_cleared_away_on_resuming(tmp_path: Path):
    run = claim(tmp_path, resume=False, overwrite=False)
    run.set_state(TRAINING, 10, 10)
    run.release()
    (tmp_path / ".tmp-save-x1").mkdir()
    (tmp_path / ".tmp-save-x1" / "model.safetensors").write_bytes(b"half")
    (tmp_path / "checkpoints").mkdir()
    claim(tmp_path, resume=True, overwrite=False).release()
    assert names(tmp_path) == {".lock", "state.json", "checkpoints"}


def test_the_state_says_how_far_the_run_is(tmp_path: Path):
    run = claim(tmp_path, resume=False, overwrite=False)
    run.set_state(TRAINING, 4, 10)
    run.set_stage(FINISHED, "well")
    state = read_state(tmp_path)
    run.release()
    assert state and (state.stage, state.step, state.total_steps, state.message) == (FINISHED, 4, 10, "well")


def test_code_that_a_model_brought_along_is_part_of_the_run(tmp_path: Path):
    run = claim(tmp_path, resume=False, overwrite=False)
    run.set_state(FINISHED, 1, 1)
    run.release()
    classes = (
        '{"auto_map": {"AutoConfig": "strange.Config", "AutoModel": "acme/x--other.Model", "AutoTokenizer": ["a", null]}}'
    )
    (tmp_path / "config.json").write_text(classes)
    for name in ("strange.py", "other.py"):
        (tmp_path / name).touch()
    (tmp_path / "mine.py").touch()
    assert foreign_entries(tmp_path) == ["mine.py"]
    (tmp_path / "mine.py").unlink()
    claim(tmp_path, resume=False, overwrite=True).release()
    assert names(tmp_path) == {".lock"}


def test_a_clock_that_is_set_back_stops_no_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = claim(tmp_path / "run", resume=False, overwrite=False)
    run.set_state("training", 1, 9)
    monkeypatch.setattr("time.time", lambda: 1000.0)
    monkeypatch.setattr(run_folder, "HEARTBEAT_SECONDS", 0.0)
    run.beat(2, 9)
    state = read_state(tmp_path / "run")
    assert state and (state.step, state.heartbeat) == (2, 1000.0)
    run.release()


def test_two_threads_may_say_how_far_the_run_is(tmp_path: Path):
    """The one that trains, and the one that ends a process whose peers are gone."""
    run = claim(tmp_path / "run", resume=False, overwrite=False)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda step: run.set_state("training", step, 999), range(400)))
    assert read_state(tmp_path / "run") and not list((tmp_path / "run").glob(".tmp-*"))
    run.release()
