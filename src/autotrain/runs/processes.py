"""Processes of this machine: which one it is, what belongs to it, and how all of that is ended.

Where there is no /proc (not Linux), a process is known by its number alone, and what belongs to it is its group.
"""

import os
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
# Positions in /proc/PID/stat after the name, which may hold spaces and ends with the last bracket.
_STATUS, _PARENT, _GROUP, _START = 0, 1, 2, 19
_ENDED = ("Z", "X", "x")  # a zombie has ended and only waits for its parent
_PAUSED = "T"
_POLL_SECONDS = 0.1
_KILL_SECONDS = 10.0


@dataclass(frozen=True)
class Process:
    """A running process.  born: tells it from a later one with its number, "" where the system doesn't say."""

    pid: int
    parent: int
    group: int
    is_paused: bool
    born: str


def find_process(pid: int) -> Process | None:
    """The process with this number, or None if there's none that runs."""
    if pid <= 0:
        return None
    if not _has_proc():
        return _find_by_number(pid)
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = _BOOT.read_text().strip()
    except OSError:
        return None
    if not fields or fields[_STATUS] in _ENDED:
        return None
    is_paused = fields[_STATUS] == _PAUSED
    return Process(pid, int(fields[_PARENT]), int(fields[_GROUP]), is_paused, f"{boot}:{fields[_START]}")


def birth_of(pid: int) -> str:
    """What tells this process from a later one with its number, over restarts of the machine too; "" if unknown."""
    process = find_process(pid)
    return process.born if process else ""


def find_worker(pid: int, born: str = "") -> Process | None:
    """The worker with this number, or None if it has ended.

    Where `born` doesn't tell, a process of the user's own with our name in its command is taken for it.
    """
    process = find_process(pid)
    if process is None or (born and process.born):
        return process if process and process.born == born else None
    try:
        os.kill(pid, 0)
        return process if b"autotrain" in (_PROC / str(pid) / "cmdline").read_bytes() else None
    except (ProcessLookupError, PermissionError):
        return None  # somebody else's, so not a worker of ours
    except OSError:
        return process  # no /proc


def is_there(process: Process) -> bool:
    """Whether it still runs."""
    now = find_process(process.pid)
    return now is not None and now.born == process.born


def belonging_to(root: Process, known: Iterable[Process] = ()) -> dict[int, Process]:
    """`root`, its group and all descendants of these that run now, by number; also those of `known` that still do.

    root may have ended: what it started is then found by its group, and by `known`.
    """
    table = _table() if _has_proc() else {pid: one for pid in (root.pid,) if (one := find_process(pid))}
    found = {one.pid: one for one in (root, *known) if one.pid in table and table[one.pid].born == one.born}
    if root.pid not in table or root.pid in found:  # otherwise its number, and so its group's, is somebody else's now
        found |= {pid: one for pid, one in table.items() if one.group == root.pid}
    grown = True
    while grown:
        children = {pid: one for pid, one in table.items() if one.parent in found and pid not in found}
        found |= children
        grown = bool(children)
    found.pop(os.getpid(), None)
    return found


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal, unless the process has ended.  Raises PermissionError if it is somebody else's."""
    if is_there(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def kill_all(root: Process, known: Mapping[int, Process]) -> list[int]:
    """End what belongs to `root` at once.  Returns the numbers of those that the system couldn't end in time."""
    end = time.monotonic() + _KILL_SECONDS
    left = belonging_to(root, known.values())
    while left and time.monotonic() < end:
        if not _has_proc() and root.group == root.pid:
            with suppress(ProcessLookupError):
                os.killpg(root.group, signal.SIGKILL)
        for process in left.values():
            send(process, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
        left = belonging_to(root, left.values())
    return sorted(left)


def _has_proc() -> bool:
    return _BOOT.exists()


def _table() -> dict[int, Process]:
    numbers = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal())
    return {one.pid: one for number in numbers if (one := find_process(number))}


def _find_by_number(pid: int) -> Process | None:
    try:
        os.kill(pid, 0)
        return Process(pid, 0, os.getpgid(pid), False, "")
    except (ProcessLookupError, PermissionError):
        return None
