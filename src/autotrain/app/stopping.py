"""Runs that were told to stop, and those that still save."""

import asyncio

from pydantic import SecretStr

from autotrain import log
from autotrain.cloud.live import stop as stop_in_cloud
from autotrain.errors import AutoTrainError
from autotrain.run_folder import is_run
from autotrain.runs import Entry
from autotrain.runs.stop import stop_if_live
from autotrain.runs.waiting import note_stopped

# How long a run may take to save before it is ended by force, and how long who asked is kept waiting.
GRACE_SECONDS = 120.0
_REPORT_SECONDS = 1.0


class Stopping:
    """Used in one event loop."""

    def __init__(self) -> None:
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def forget(self, number: int) -> None:
        """It was asked for anew, and can be stopped while what the run before it left is still being ended."""
        self._tasks.pop(number, None)

    def has(self, number: int) -> bool:
        """Whether this run was told to stop, and hasn't yet."""
        task = self._tasks.get(number)
        return task is not None and not task.done()

    async def stop(self, entry: Entry, token: SecretStr | None, *, now: bool) -> None:
        """Returns when it has ended, or after a second.  Raises AutoTrainError if that is known by then."""
        if self.has(entry.id) and not now:
            return
        task = asyncio.create_task(asyncio.to_thread(_stop, entry, token, now))
        self._tasks[entry.id] = task
        done, _ = await asyncio.wait([task], timeout=_REPORT_SECONDS)
        if done:
            task.result()
        else:
            task.add_done_callback(_report)


def _stop(entry: Entry, token: SecretStr | None, now: bool) -> None:
    if entry.cloud:
        stop_in_cloud(entry, token)
    else:
        stop_if_live(entry, 0.0 if now else GRACE_SECONDS)
        if not is_run(entry.folder):
            note_stopped(entry.id)


def _report(task: "asyncio.Task[None]") -> None:
    """Say what went wrong when nobody waits any more."""
    problem = None if task.cancelled() else task.exception()
    if isinstance(problem, AutoTrainError):
        log.error(str(problem))
    elif problem:
        raise problem
