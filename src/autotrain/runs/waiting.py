"""Runs that wait for their turn, in the registry: so a queue outlives its server, and two servers never start one run."""

import os
import sqlite3
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from autotrain.config.names import runs_here
from autotrain.errors import RunFolderError
from autotrain.runs.processes import birth_of, find_process
from autotrain.runs.registry import Entry, Statement, entries, first_number, latest, unreadable

# Stages of a run that hasn't begun; see registry.Queued.
WAITING, LAUNCHING, STOPPED, FAILED = "waiting", "launching", "stopped", "failed"
TAKEN_OUT = "it was taken out of the queue before it began"
STOPPED_EARLY = "it was stopped before its first step"
# Starting a worker takes a moment; one in the cloud has files to upload.
_LAUNCH_SECONDS = 5.0
# Of a run that has no predecessor in its folder.
NOBODY = (-1, "")


def enqueue(
    name: str,
    folder: Path,
    backend: str,
    parameters: str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    before: tuple[int, str] | None = None,
) -> int:
    """Put a run at the end of the queue; returns its number, which it keeps.  One in the same folder is its predecessor.

    parameters: as `params.to_json()`.  before: process and birth of the predecessor that was seen to have ended, or NOBODY:
    the run isn't taken if another has begun there since.
    Raises RunFolderError if the registry can't be written, or if a run in this folder is waiting already.
    """
    now = time.time()
    # A run in the cloud has no folder here, and so mustn't replace the entry of a local run of its name.
    job_id = None if runs_here(backend) else f"waiting-{uuid.uuid4().hex}"
    options = " ".join(name for name, given in (("resume", resume), ("overwrite", overwrite)) if given)
    values = (name, backend, parameters, WAITING, now, options, str(folder.absolute()))
    number = _execute(
        (
            "update runs set name = ?, backend = ?, parameters = ?, queue = ?, queued = ?, options = ?, detail = null "
            f"where folder = ? and job_id is null and (queue is null or queue not in ('{WAITING}', '{LAUNCHING}')) "
            "and ? is null and (? or (pid = ? and born = ?)) returning id",
            (*values, job_id, before is None, *(before or NOBODY)),
        ),
        (
            "insert or ignore into runs (name, backend, parameters, queue, queued, options, folder, job_id, started, pid) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, 0) returning id",
            (*values, job_id, now),
        ),
    )
    if number is None:
        raise RunFolderError(
            f"project_name: a run {name} is waiting to begin already, or has just begun; stop it, or choose another name"
        )
    return number


def waiting(known: Sequence[Entry] | None = None) -> list[Entry]:
    """The runs that wait, in the order in which they begin."""
    found = [one for one in (entries() if known is None else known) if one.queued and one.queued.stage == WAITING]
    return sorted(found, key=lambda one: (one.queued.since if one.queued else 0.0, one.id))


def claim(entry: Entry) -> bool:
    """Take a waiting run to start it from this process; False if somebody else did, or it was taken out.

    One that was taken out and asked for anew since `entry` was read may have other parameters: False too.
    """
    pid, since = os.getpid(), entry.queued.since if entry.queued else None
    statement = "update runs set queue = ?, pid = ?, born = ? where id = ? and queue = ? and queued = ? returning id"
    return _execute((statement, (LAUNCHING, pid, birth_of(pid), entry.id, WAITING, since))) is not None


def begun_or_waiting(entry: Entry) -> Entry:
    """The entry as it is now, not while somebody starts its run: then that can't be told anything.

    Raises RunFolderError if that takes long, or if it isn't listed any more.
    """
    end = time.monotonic() + _LAUNCH_SECONDS
    while (entry := latest(entry)).queued and entry.queued.stage == LAUNCHING:
        if time.monotonic() > end:
            raise RunFolderError(f"{entry.name} is just being started; stop it in a moment")
        time.sleep(0.05)
    return entry


def take_out_unless_begun(entry: Entry) -> Entry | None:
    """Take a run out of the queue: None.  The entry as it is now if it doesn't wait, or began at this moment.

    Raises as `begun_or_waiting`.
    """
    while (entry := begun_or_waiting(entry)).queued and entry.queued.stage == WAITING:
        if take_out(entry.id):
            return None
    return entry


def give_back(known: Sequence[Entry]) -> None:
    """Let those wait again that a process claimed and didn't live to start."""
    for entry in known:
        if entry.queued and entry.queued.stage == LAUNCHING and not _is_there(entry):
            statement = "update runs set queue = ? where id = ? and queue = ? returning id"
            _execute((statement, (WAITING, entry.id, LAUNCHING)))


def take_out(number: int) -> bool:
    """Take a run out of the queue; one that had begun before is what it was.  False if it isn't waiting."""
    statement = (
        "update runs set queue = case when options = '' then ? else null end, detail = ? "
        "where id = ? and queue = ? returning id"
    )
    return _execute((statement, (STOPPED, TAKEN_OUT, number, WAITING))) is not None


def note_stopped(number: int) -> None:
    """Note that a run of the queue was stopped before it had a folder, which would have said so."""
    changed = "update runs set queue = ?, detail = ?, options = ''"
    statement = f"{changed} where id = ? and queue is null and parameters <> '' returning id"
    _execute((statement, (STOPPED, STOPPED_EARLY, number)))


def fail(number: int, reason: str) -> None:
    """Note why a claimed run couldn't be started."""
    statement = "update runs set queue = ?, detail = ? where id = ? and queue is not null returning id"
    _execute((statement, (FAILED, reason, number)))


def _is_there(entry: Entry) -> bool:
    process = find_process(entry.pid)
    return process is not None and process.born == entry.born


def _execute(*statements: Statement) -> int | None:
    """As `first_number`.  Raises RunFolderError."""
    try:
        return first_number(*statements)
    except (OSError, sqlite3.Error) as problem:
        raise unreadable(problem) from problem
