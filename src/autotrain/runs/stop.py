"""Stopping a local run: it saves and leaves, and nothing of its process tree stays."""

import signal
import time

from autotrain.errors import RunFolderError, TrainingError
from autotrain.runs.processes import belonging_to, is_there, kill_all, send
from autotrain.runs.registry import Entry
from autotrain.runs.stages import worker_of

_POLL_SECONDS = 0.1
# What the worker started may still have something to write when it has left.
_CHILDREN_SECONDS = 3.0


def stop(entry: Entry, grace_seconds: float) -> bool:
    """Ask the worker to save and leave (SIGTERM); after `grace_seconds` end it, and in any case all that it started.

    Returns whether it left by itself.  Raises RunFolderError if there's no worker that can be stopped from here,
    TrainingError if the system can't end it.
    """
    worker = worker_of(entry)
    if worker is None:
        raise RunFolderError(
            f"{entry.name}: its worker isn't on this machine, or in another container, or somebody else's; stop it there"
        )
    known = belonging_to(worker)
    try:
        send(worker, signal.SIGTERM)
        for process in known.values():
            if process.is_paused:
                send(process, signal.SIGCONT)  # a paused process takes no signal but this and SIGKILL
    except PermissionError as problem:
        raise RunFolderError(f"{entry.name}: process {worker.pid} is somebody else's; ask them to stop it") from problem
    end = time.monotonic() + grace_seconds
    while is_there(worker) and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
        known = belonging_to(worker, known.values())
    has_left = not is_there(worker)
    end = time.monotonic() + _CHILDREN_SECONDS
    while has_left and time.monotonic() < end and (known := belonging_to(worker, known.values())):
        time.sleep(_POLL_SECONDS)
    left = kill_all(worker, known)
    if left:
        numbers = ", ".join(str(pid) for pid in left)
        raise TrainingError(f"{entry.name}: the system can't end process {numbers}; it waits for a device or a disk")
    return has_left
