"""Stopping a local run: it saves and leaves, and nothing of its process tree stays."""

import signal
import time
from collections.abc import Mapping
from contextlib import suppress

from autotrain.errors import RunFolderError, TrainingError
from autotrain.run_folder import is_held
from autotrain.runs.processes import Process, belonging_to, find_process, is_there, kill_all, send
from autotrain.runs.registry import Entry
from autotrain.runs.stages import look_at, worker_of

_POLL_SECONDS = 0.1
# What the worker started may still have something to write when it has left.
_CHILDREN_SECONDS = 3.0
# What the system may take for a large process that was ended: memory, devices.
_RELEASE_SECONDS = 30.0


def stop(entry: Entry, grace_seconds: float) -> bool:
    """Ask the worker to save and leave (SIGTERM); after `grace_seconds` end it, and in any case all that it started.

    0 seconds: end it at once, unasked.  Returns whether it left by itself.
    Raises RunFolderError if there's no worker that can be stopped from here, TrainingError if the system can't end it.
    """
    worker = worker_of(entry)
    if worker is None:
        raise RunFolderError(
            f"{entry.name}: its worker isn't on this machine, or in another container, or somebody else's; stop it there"
        )
    known, launcher = belonging_to(worker), find_process(worker.parent)
    try:
        if grace_seconds > 0:
            known = _let_leave(worker, known, grace_seconds)
        has_left = not is_there(worker)
        left = kill_all(worker, known)
    except PermissionError as problem:
        raise RunFolderError(f"{entry.name}: process {worker.pid} is somebody else's; ask them to stop it") from problem
    _wake_launcher(launcher)
    if left:
        numbers = ", ".join(str(pid) for pid in left)
        raise TrainingError(f"{entry.name}: the system can't end process {numbers}; it waits for a device or a disk")
    _wait_for_release(entry)
    return has_left


def stop_if_live(entry: Entry, grace_seconds: float) -> bool:
    """As `stop`, of a run that was live a moment ago: one that has ended by itself since then is no error."""
    try:
        return stop(entry, grace_seconds)
    except RunFolderError:
        if look_at(entry).is_live:
            raise
        return True


def _wake(processes: Mapping[int, Process]) -> None:
    """A paused process takes no signal but SIGCONT and SIGKILL; one that is being paused is seen to be so a moment later."""
    for process in processes.values():
        now = find_process(process.pid)
        if now and now.is_paused:
            send(process, signal.SIGCONT)


def _wake_launcher(launcher: Process | None) -> None:
    """Paused with its worker, it now sees that this has left, and leaves too.

    Without a look at whether it is paused: a pause on its way isn't seen yet, and SIGCONT takes it back.
    """
    if launcher:
        with suppress(PermissionError):  # somebody else's, which looks after its own
            send(launcher, signal.SIGCONT)


def _wait_for_release(entry: Entry) -> None:
    """Until nobody holds the folder: of a process that was ended, threads may still be leaving."""
    end = time.monotonic() + _RELEASE_SECONDS
    while is_held(entry.folder) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)


def _let_leave(worker: Process, known: Mapping[int, Process], grace_seconds: float) -> Mapping[int, Process]:
    """Ask the worker to save and leave, and wait for it and what it started.  Returns what is then known to belong to it."""
    send(worker, signal.SIGTERM)
    end = time.monotonic() + grace_seconds
    while is_there(worker) and time.monotonic() < end:
        _wake(known)
        time.sleep(_POLL_SECONDS)
        known = belonging_to(worker, known.values())
    end = time.monotonic() + _CHILDREN_SECONDS
    while not is_there(worker) and known and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
        known = belonging_to(worker, known.values())
    return known
