"""Where a run stands, as the page shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autotrain.app.feeds.tail import Row, is_step, last_rows
from autotrain.config.names import runs_here
from autotrain.run_folder import METRICS_FILE, TRAINING
from autotrain.runs import Entry, Run, look_at
from autotrain.runs.parameters import raw_parameters
from autotrain.runs.stages import LIVE, RESUMABLE, WAITING

# The speed of so many logged steps back tells how long it will take.
_NUM_ROWS_BACK = 20


@dataclass(frozen=True)
class RunView:
    """A run, and where it stands.

    stage: waiting, starting, training, finishing, paused, running (in the cloud), finished, stopped, interrupted, failed,
    gone (its folder was deleted), unknown (in the cloud, and nobody could be asked).
    seconds_left: of training, validation included; None if it isn't known.  last_loss: of training, as logged last.
    started, ended: seconds since the epoch; ended is None while it goes on, and where that isn't known.
    reason: why it ended, "" if there's nothing to say.  folder: the run folder, "" of a run in the cloud.
    url: of a run in the cloud.
    position_in_queue: 1 for the next, 0 if it doesn't wait.  is_stopping: it was told to save and leave.
    is_live: whether it waits, starts or runs.
    can_resume: whether it can go on from its last checkpoint, or begin again where there is none.
    """

    number: int
    name: str
    stage: str
    step: int
    total_steps: int
    seconds_left: float | None
    last_loss: float | None
    started: float
    ended: float | None
    reason: str
    backend: str
    base_model: str
    trainer: str
    folder: str
    notes: str
    url: str
    position_in_queue: int
    is_stopping: bool
    is_live: bool
    can_resume: bool


def view_of(run: Run, parameters: Mapping[str, Any], *, position_in_queue: int = 0, is_stopping: bool = False) -> RunView:
    """parameters: as in training_params.json."""
    entry = run.entry
    rows = last_rows(entry.folder / METRICS_FILE) if run.stage == TRAINING and not entry.cloud else []
    return RunView(
        number=entry.id,
        name=entry.name,
        stage=run.stage,
        step=max(run.step, rows[-1]["step"] if rows else 0),
        total_steps=run.total_steps,
        seconds_left=seconds_left(rows, run.step, run.total_steps) if rows else None,
        last_loss=run.loss,
        started=entry.started,
        ended=None if run.is_live else run.heartbeat,
        reason=run.reason,
        backend=entry.backend,
        base_model=str(parameters.get("model", "")),
        trainer=str(parameters.get("trainer", "")),
        folder="" if entry.cloud or not runs_here(entry.backend) else str(entry.folder),
        notes=entry.notes,
        url=entry.cloud.url if entry.cloud else "",
        position_in_queue=position_in_queue,
        is_stopping=is_stopping and run.is_live,
        is_live=run.stage in LIVE,
        can_resume=run.stage in RESUMABLE,
    )


def view_entry(entry: Entry, *, position_in_queue: int = 0, is_stopping: bool = False) -> RunView:
    """Looks at the run folder; asks no service."""
    return view_of(look_at(entry), raw_parameters(entry), position_in_queue=position_in_queue, is_stopping=is_stopping)


def place_in_queue(entry: Entry, entries: Sequence[Entry]) -> int:
    """1 for the run that begins next, 0 if `entry` doesn't wait."""
    if not entry.queued or entry.queued.stage != WAITING:
        return 0
    mine = (entry.queued.since, entry.id)
    return sum(1 for one in entries if one.queued and one.queued.stage == WAITING and (one.queued.since, one.id) <= mine)


def seconds_left(rows: Sequence[Row], step: int, total_steps: int) -> float | None:
    """At the speed of the last steps in `rows`, and with as much validation for each as so far; None before the first."""
    steps = [row for row in rows if is_step(row)][-_NUM_ROWS_BACK:]
    if not steps or total_steps <= step:
        return 0.0 if steps else None
    first, last = steps[0], steps[-1]
    if last["step"] > first["step"]:
        a_step = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    else:
        a_step = last["seconds"] / max(1, last["step"])
    validations = [row for row in rows if isinstance(row.get("eval_seconds"), int | float)]
    validating = sum(row["eval_seconds"] for row in validations if row["step"] > 0)
    covered = last["step"] - min(rows[0]["step"], last["step"] - 1)
    return round((a_step + validating / covered) * (total_steps - step), 1)
