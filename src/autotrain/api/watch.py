"""Where the run on this machine stands, for whoever asks while it is going on."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain import log
from autotrain.cloud.report import End
from autotrain.run_folder import METRICS_FILE, TRAINING, open_own, read_state

# Beside the stages of state.json: nothing to train; data, model and checkpoint are fetched; a failed push is tried again.
IDLE, STARTING, PUSHING = "idle", "starting", "pushing"
_TAIL_BYTES = 64_000


@dataclass(frozen=True)
class Status:
    """stage: idle, starting, training, finishing, pushing, finished, failed or stopped.

    loss: as logged last; None before.  seconds_left: of training, None if it isn't known.
    reason: why it ended or what it waits for, "" if all is well.  url: of the result, "" before.
    """

    stage: str
    step: int = 0
    total_steps: int = 0
    loss: float | None = None
    seconds_left: float | None = None
    reason: str = ""
    url: str = ""


class Watch:
    """Follows one run.  The thread that runs it tells; threads that serve ask."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._said = Status(IDLE)

    def starts(self, folder: Path) -> None:
        """A run begins, in `folder`, which it will make."""
        self._folder, self._said = folder, Status(STARTING)

    def pushes(self, reason: str) -> None:
        """The trained model doesn't reach the hub yet, because of `reason`."""
        self._said = Status(PUSHING, reason=log.mask(reason))

    def ends(self, end: End) -> None:
        self._said = Status(end.stage, reason=log.mask(end.reason), url=end.url)

    def status(self) -> Status:
        said, folder = self._said, self._folder
        state = read_state(folder) if folder else None
        if folder is None or state is None:
            return said
        row = _last_row(folder)
        stage = state.stage if said.stage == STARTING else said.stage
        left = _seconds_left(row, state.step, state.total_steps) if stage == TRAINING else None
        return Status(stage, state.step, state.total_steps, _number(row, "loss"), left, said.reason, said.url)


def _seconds_left(row: dict[str, Any], step: int, total_steps: int) -> float | None:
    """At the speed of the steps so far, as `row` of the metrics has them."""
    seconds, steps = _number(row, "seconds"), _number(row, "step")
    return round(seconds / steps * max(0, total_steps - step), 1) if seconds and steps else None


def _number(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    return float(value) if isinstance(value, int | float) else None


def _last_row(folder: Path) -> dict[str, Any]:
    """The last row of the metrics about a training step, or {}."""
    try:
        with open_own(folder / METRICS_FILE) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    return next((row for line in reversed(lines) if "loss" in (row := _parse(line))), {})


def _parse(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}  # cut by the tail, or still being written
    return row if isinstance(row, dict) else {}
