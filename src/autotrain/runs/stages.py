"""Where a run stands, as its folder and its worker tell it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from autotrain.run_folder import FINISHING, METRICS_FILE, STOPPED, TRAINING, RunState, is_held, is_run, open_own, read_state
from autotrain.runs.processes import Process, find_worker
from autotrain.runs.registry import Entry, entries
from autotrain.runs.waiting import LAUNCHING

# Beside the stages of state.json, and those of the cloud.
STARTING, PAUSED, GONE, FAILED, RUNNING, UNKNOWN = "starting", "paused", "gone", "failed", "running", "unknown"
WAITING = "waiting"  # in the queue of the web page
LIVE = (WAITING, STARTING, TRAINING, FINISHING, PAUSED, RUNNING)
RESUMABLE = (STOPPED, "interrupted", FAILED)

_TAIL_BYTES = 64_000
_AWAY = "there is no run in its folder (any more): it was deleted, moved or renamed; a moved one is known by its new folder"
_SILENT = "its worker ended without saying why: it was killed, or the machine went down"


@dataclass(frozen=True)
class Run:
    """A registered run and where it stands.

    stage: as in state.json or of the cloud, or waiting, starting, paused, stopped, gone, unknown.
    reason: why it ended, or isn't known; "" if there's nothing to say.
    heartbeat: when its worker last wrote its state, seconds since the epoch; None if it didn't.
    """

    entry: Entry
    stage: str
    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    reason: str = ""
    heartbeat: float | None = None

    @property
    def is_live(self) -> bool:
        return self.stage in LIVE


def list_runs() -> list[Run]:
    """All registered runs, the latest first; those of the cloud as last heard of.  Raises RunFolderError."""
    return [look_at(entry) for entry in entries()]


def look_at(entry: Entry) -> Run:
    """Where a run stands.  Asks no service: of a run in the cloud, what was last heard."""
    if entry.queued:
        stage = STARTING if entry.queued.stage == LAUNCHING else entry.queued.stage
        return Run(entry, stage, reason=entry.queued.reason)
    if entry.cloud:
        seen = entry.cloud.seen
        if seen is None:
            return Run(entry, UNKNOWN)
        return Run(entry, seen.stage, seen.step, seen.total_steps, seen.loss, seen.detail)
    worker = worker_of(entry)
    state = read_state(entry.folder)  # after it: of a worker that is gone, this is its last word
    stage = _stage(entry, state, worker)
    reason = "" if stage in LIVE else _reason(entry, state)
    if state is None:
        return Run(entry, stage, reason=reason)
    step, loss = last_logged(entry.folder) or (0, None)  # state.json is written every few seconds, this at each logged step
    return Run(entry, stage, max(step, state.step), state.total_steps, loss, reason, state.heartbeat)


def worker_of(entry: Entry) -> Process | None:
    """The worker of a local run, or None if it has none on this machine.

    The one that was started last, or whoever holds the folder: a worker that was started by hand isn't registered.
    """
    if entry.queued:
        return None  # its number is that of who is about to start it
    worker = find_worker(entry.pid, entry.born)
    state = read_state(entry.folder)
    if worker is None and state is not None and is_held(entry.folder):
        worker = find_worker(state.pid)
    return worker


def last_logged(folder: Path) -> tuple[int, float] | None:
    """Step and training loss that the run in `folder` logged last, or None."""
    try:
        with open_own(folder / METRICS_FILE) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((found for line in reversed(lines) if (found := _step_and_loss(line)) is not None), None)


def _step_and_loss(line: str) -> tuple[int, float] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None  # cut by the tail, or still being written
    step, loss = (row.get("step"), row.get("loss")) if isinstance(row, dict) else (None, None)
    return (step, float(loss)) if isinstance(step, int) and isinstance(loss, int | float) else None


def _stage(entry: Entry, state: RunState | None, worker: Process | None) -> str:
    if worker and worker.is_paused:
        return PAUSED
    if state is None:
        return _stage_without_state(entry, worker)
    if worker and worker.pid != state.pid:
        return STARTING  # resumed or replaced, and not yet in the folder
    if state.stage in (TRAINING, FINISHING) and worker is None and not is_held(entry.folder):
        return STOPPED
    return state.stage


def _stage_without_state(entry: Entry, worker: Process | None) -> str:
    if worker:
        return STARTING
    if is_run(entry.folder):
        return STOPPED  # what the machine left of state.json can't be read
    return FAILED if _said(entry) else GONE


def _reason(entry: Entry, state: RunState | None) -> str:
    said = _said(entry)
    if said:
        return said
    if state is None:
        return _SILENT if is_run(entry.folder) else _AWAY
    if state.stage in (TRAINING, FINISHING):
        return _SILENT
    return "max_hours were over; the model so far was written" if state.stage == STOPPED else state.message


def _said(entry: Entry) -> str:
    """What the worker of a run in the background said when it ended otherwise than well, "" if nothing."""
    try:
        return entry.reason_file.read_text(encoding="utf-8").strip() if entry.reason_file else ""
    except OSError:
        return ""
