"""Checkpoints on the hub while a run goes on, so that another machine can go on with it.

They lie on a branch of their own, whose history is cut each time: it holds the newest checkpoint and the best one, with
the records that a resumed run needs.  The branch with the result never sees them.
"""

import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from autotrain import log
from autotrain.errors import HubError, RunFolderError
from autotrain.hub.client import explained, fault_of, hub_errors, open_api
from autotrain.hub.contents import Upload, record_without_places, without_place
from autotrain.hub.push import check_no_secret, commit_files
from autotrain.hub.repo import MAIN, Target
from autotrain.hub.sizes import size_text
from autotrain.run_folder import (
    CHECKPOINTS,
    INTERRUPTED,
    METRICS_FILE,
    PULL_FOLDER,
    RUN_FILE,
    SAMPLES_FILE,
    STATE_FILE,
    RunState,
    read_json,
    write_json,
)
from autotrain.trainers.clm.params import PARAMS_FILE, LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_RECORDS = (PARAMS_FILE, RUN_FILE, METRICS_FILE, SAMPLES_FILE)
_SNAPSHOT = ".tmp-push-"  # then the step
_STEP = re.compile(rf"{CHECKPOINTS}/checkpoint-(\d+)/progress\.json")
# Names one start in the cloud: a machine whose container is started anew knows by it that a checkpoint is its own.
START_VARIABLE = "AUTOTRAIN_RUN"
_PLACES = ("model", "model_ref", "data_path", "chat_template")


def checkpoint_branch(target: Target) -> str:
    """The branch that holds the checkpoints of a run whose result goes to `target`."""
    return "checkpoints" if target.branch == MAIN else f"{target.branch}-checkpoints"


def take_snapshot(folder: Path, step: int, best_step: int | None) -> Path:
    """What the run in `folder` needs to go on from `step`, as links beside: training goes on, and prunes, meanwhile.

    In a folder of its own each time: a run that is stopped as it has saved offers the same step twice.
    Raises OSError, and leaves nothing.
    """
    snapshot = Path(tempfile.mkdtemp(prefix=f"{_SNAPSHOT}{step}-", dir=folder))
    try:
        for number in {step, best_step} - {None}:
            source = folder / CHECKPOINTS / f"checkpoint-{number}"
            shutil.copytree(source, snapshot / CHECKPOINTS / source.name, copy_function=_link)
        for name in _RECORDS:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, snapshot / name)
    except OSError:
        shutil.rmtree(snapshot, ignore_errors=True)
        raise
    return snapshot


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def push_checkpoint(api: "HfApi", target: Target, snapshot: Path) -> None:
    """Make `snapshot` all that the branch of checkpoints holds of us.  Raises HubError."""
    branch = checkpoint_branch(target)
    files = [Upload(path, _content(snapshot / path)) for path in _files(snapshot)]
    if not any(_STEP.fullmatch(file.path) for file in files):
        raise HubError(f"the snapshot {snapshot.name} holds no checkpoint; what the hub has is left as it is")
    check_no_secret(files, api.token if isinstance(api.token, str) else None)
    with explained(f"checkpoints on {target.repo_id}"):
        api.create_branch(target.repo_id, branch=branch, exist_ok=True)
    title = _title(os.environ.get(START_VARIABLE, ""))
    commit_files(api, target.repo_id, branch, files, _is_of_checkpoints, title)
    try:
        # What earlier ones took is given back.
        api.super_squash_history(target.repo_id, branch=branch, commit_message=title)
    except hub_errors() as error:
        log.record(f"the history of {branch} couldn't be cut: {error}")


def _title(start: str) -> str:
    return f"Checkpoint of start {start}" if start else "Checkpoint"


def is_pushed_by(target: Target, token: str | None, start: str) -> bool:
    """Whether the newest checkpoint there was pushed by the start in the cloud of that name.  Raises HubError."""
    from huggingface_hub import errors

    with explained(f"checkpoints on {target.repo_id}"):
        try:
            newest = open_api(token).list_repo_commits(target.repo_id, revision=checkpoint_branch(target))[:1]
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
            return False
    return any(commit.title == _title(start) for commit in newest)


def _files(snapshot: Path) -> list[str]:
    return sorted(file.relative_to(snapshot).as_posix() for file in snapshot.rglob("*") if file.is_file())


def _content(file: Path) -> Path | bytes:
    return record_without_places(file) if file.name in (PARAMS_FILE, RUN_FILE) else file


def _is_of_checkpoints(path: str) -> bool:
    return path in _RECORDS or path.startswith(f"{CHECKPOINTS}/")


def drop_checkpoints(target: Target, token: str | None) -> None:
    """Delete the branch of checkpoints: the run is complete and its result is on the hub.  Never fails a run."""
    api = open_api(token)
    try:
        api.delete_branch(target.repo_id, branch=checkpoint_branch(target))
    except hub_errors() as error:
        fault = fault_of(error)
        if fault is None:
            raise
        if fault.status != 404:
            log.notice(f"the checkpoints of {target.repo_id} stay on its branch {checkpoint_branch(target)}: {fault.text}")


class CheckpointPush:
    """Pushes checkpoints in the background; of those that wait, only the last one goes.  Never holds training up.

    target: None if checkpoints stay here.  Leaving the context waits for the last one, unless `discard` was called.
    """

    def __init__(self, folder: Path, target: Target | None, token: str | None) -> None:
        self._folder = folder
        self._target = target
        self._token = token
        self._waiting: Path | None = None
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "CheckpointPush":
        if self._target is not None:
            self._thread = threading.Thread(target=self._work, args=(self._target,), name="checkpoints", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._thread is None:
            return
        with self._changed:
            self._is_closing = True
            self._changed.notify()
            is_busy = self._waiting is not None
        if is_busy:
            log.info("pushing the last checkpoint ...")
        self._thread.join()

    def offer(self, step: int, best_step: int | None) -> None:
        """checkpoint-`step` is written: push it when there is time."""
        if self._thread is None:
            return
        try:
            snapshot = take_snapshot(self._folder, step, best_step)
        except OSError as problem:
            log.notice(f"checkpoint {step} can't be prepared for the hub: {problem}")
            return
        with self._changed:
            self._drop()
            self._waiting = snapshot
            self._changed.notify()

    def discard(self) -> None:
        """Nothing that still waits is needed."""
        with self._changed:
            self._drop()

    def _drop(self) -> None:
        if self._waiting is not None:
            shutil.rmtree(self._waiting, ignore_errors=True)
            self._waiting = None

    def _work(self, target: Target) -> None:
        api = open_api(self._token)
        while (snapshot := self._next()) is not None:
            started = time.monotonic()
            try:
                push_checkpoint(api, target, snapshot)
            except (*hub_errors(), HubError) as problem:
                log.notice(f"a checkpoint didn't get to the hub; training goes on: {problem}")
            else:
                self._say(snapshot, time.monotonic() - started)
            finally:
                shutil.rmtree(snapshot, ignore_errors=True)

    def _next(self) -> Path | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._is_closing)
            snapshot, self._waiting = self._waiting, None
            return snapshot

    def _say(self, snapshot: Path, seconds: float) -> None:
        step = snapshot.name.removeprefix(_SNAPSHOT).partition("-")[0]
        size = sum((snapshot / path).stat().st_size for path in _files(snapshot))
        log.record(f"{step}: checkpoint pushed, {size_text(size)} in {seconds:.0f} s")


# On another machine


def pull_run(
    repo: Target | str,
    folder: Path,
    token: str | None = None,
    params: LLMTrainingParams | None = None,
    check: Callable[[Path], None] = lambda folder: None,
) -> int | None:
    """Lay the pushed checkpoints of a run into `folder`, so that --resume goes on there; returns the step.

    None if there are none.  params: of the run as it is resumed, whose places take those of the first machine where
    they have the same name.  check: raises if the run whose records lie in a folder can't go on here.
    Raises HubError if the hub fails (what came goes on the next time), RunFolderError if what it gives can't be used
    (nothing is left).
    """
    target = repo if isinstance(repo, Target) else Target(repo)
    branch, api = checkpoint_branch(target), open_api(token)
    what = f"checkpoints of {target.repo_id}"
    with explained(what):
        paths = _listed(api, target.repo_id, branch)
    steps = [int(match[1]) for path in paths if (match := _STEP.fullmatch(path))]
    if not steps:
        return None
    log.info(f"the hub has a checkpoint of {target.repo_id} at step {max(steps)}: downloading it ...")
    is_new = not folder.exists()
    temporary = folder / PULL_FOLDER
    temporary.mkdir(parents=True, exist_ok=True)
    with explained(what):
        api.snapshot_download(
            target.repo_id, revision=branch, allow_patterns=[*_RECORDS, f"{CHECKPOINTS}/*"], local_dir=temporary
        )
    try:
        _take_home(temporary, params)
        check(temporary)
        _lay_down(temporary, folder, steps)
    except RunFolderError:
        shutil.rmtree(folder if is_new else temporary, ignore_errors=True)
        raise
    return max(steps)


def _listed(api: "HfApi", repo_id: str, branch: str) -> list[str]:
    """Files of the branch, none where there is no such repository or branch."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return api.list_repo_files(repo_id, revision=branch)
    except GatedRepoError:
        raise
    except (RepositoryNotFoundError, RevisionNotFoundError):
        return []


def _take_home(source: Path, params: LLMTrainingParams | None) -> None:
    if params is not None and (source / PARAMS_FILE).is_file():
        write_json(source / PARAMS_FILE, _at_home(read_json(source / PARAMS_FILE), json.loads(params.to_json())))


def _lay_down(source: Path, folder: Path, steps: Sequence[int]) -> None:
    """Move what was downloaded into place.  state.json first: from then on the folder is known as a run."""
    step = max(steps)
    progress = source / CHECKPOINTS / f"checkpoint-{step}" / "progress.json"
    if read_json(progress).get("step") != step:
        raise RunFolderError(f"--resume: the checkpoint on the hub can't be read ({progress.name}); push another one")
    total_steps = read_json(source / RUN_FILE).get("resolved", {}).get("total_steps", 0)
    state = RunState(INTERRUPTED, step, total_steps, 0, time.time(), "taken from the hub")
    write_json(folder / STATE_FILE, asdict(state))
    for name in _RECORDS:
        if (source / name).is_file():
            (source / name).replace(folder / name)
    (folder / CHECKPOINTS).mkdir(exist_ok=True)
    for name in (f"checkpoint-{step}" for step in steps):  # not what a download that was cut left of older ones
        if not (folder / CHECKPOINTS / name).exists():
            (source / CHECKPOINTS / name).rename(folder / CHECKPOINTS / name)
    shutil.rmtree(source, ignore_errors=True)


def _at_home(pushed: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """The pushed parameters, with our places where they only differ in what stands before the name."""
    same = {
        name: ours[name]
        for name in _PLACES
        if isinstance(ours.get(name), str) and pushed.get(name) in (without_place(ours[name]), Path(ours[name]).name)
    }
    return {**pushed, **same}
