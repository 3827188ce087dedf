"""Starting one queued run, and counting those that keep this machine busy."""

import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from autotrain import log
from autotrain.backends.base import Job
from autotrain.config.names import runs_here
from autotrain.errors import AutoTrainError, RunFolderError
from autotrain.project import submit
from autotrain.runs import Entry
from autotrain.runs.processes import find_worker
from autotrain.runs.waiting import LAUNCHING, fail
from autotrain.trainers.clm.params import LLMTrainingParams

# A worker that goes on without us; a run in the cloud doesn't wait either.
BACKGROUND = "local-ui"


def is_local(backend: str) -> bool:
    """Whether it runs on this machine."""
    return runs_here(backend)


def in_background(backend: str) -> str:
    """The backend of the same kind that doesn't wait; a job that says `detach` isn't waited for elsewhere."""
    return BACKGROUND if backend.startswith("local") else backend


def job_of(
    params: LLMTrainingParams,
    backend: str,
    place: Path,
    token: SecretStr | None,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Job:
    """A job that nobody waits for.  token: the hub's, for this job alone."""
    own: dict[str, Any] = {"token": token} if token else {}
    data = (place / params.data_path).absolute()
    if not is_local(backend) and data.exists():
        own["data_path"] = str(data)  # what is uploaded is looked for where we stand
    return Job(params.model_copy(update=own), resume=resume, overwrite=overwrite, detach=True, place=place)


def launch(entry: Entry, token: SecretStr | None) -> None:
    """Start a run that was claimed.  If it can't be started, its entry says why; never raises."""
    queued = entry.queued
    assert queued is not None
    try:
        params = LLMTrainingParams(**json.loads(entry.parameters))
        job = job_of(params, entry.backend, entry.folder.parent, token, resume=queued.resume, overwrite=queued.overwrite)
        submit(job, in_background(entry.backend))
    except (AutoTrainError, ValueError) as problem:
        _note_failure(entry, log.mask(str(problem)))
    except Exception as problem:  # noqa: BLE001  the outermost frame of a job's start
        log.error(f"{entry.name} couldn't be started:\n{traceback.format_exc()}")
        _note_failure(entry, log.mask(f"it couldn't be started: {problem!r}"))


def _note_failure(entry: Entry, reason: str) -> None:
    try:
        fail(entry.id, reason)
    except RunFolderError as problem:  # the registry: then the log says it
        log.error(f"{entry.name} couldn't be started: {reason}; {problem}")


class Busy:
    """Which runs keep this machine busy, whoever started them.  Remembers those that have ended: they stay so."""

    def __init__(self) -> None:
        self._ended: set[tuple[int, int, str, float]] = set()

    def count(self, entries: Sequence[Entry]) -> int:
        """How many there are now."""
        return sum(1 for entry in entries if self._is_busy(entry))

    def _is_busy(self, entry: Entry) -> bool:
        if entry.cloud or not is_local(entry.backend):
            return False
        if entry.queued:
            return entry.queued.stage == LAUNCHING
        identity = (entry.id, entry.pid, entry.born, entry.started)
        if identity in self._ended:
            return False
        if find_worker(entry.pid, entry.born) is None:
            self._ended.add(identity)
            return False
        return True
