"""The registry: an index of runs in AutoTrain's home.  The run folders, and the services in the cloud, are the truth."""

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain import log
from autotrain.errors import RunFolderError
from autotrain.home import home
from autotrain.run_folder import read_state
from autotrain.runs.processes import birth_of
from autotrain.runs.schema import move_on

DATABASE = "runs.db"
LOCK_TIMEOUT_SECONDS = 20.0

# Stages after which nothing more happens; those of the cloud, and those that a folder's state.json may say.
ENDED = ("finished", "failed", "stopped", "interrupted", "gone")
Statement = tuple[str, tuple[object, ...]]

COLUMNS = (
    "id, name, folder, started, backend, pid, born, output, job_id, repo_id, url, parameters, "
    "stage, detail, step, total_steps, loss, notes, queue, queued, options"
)


@dataclass(frozen=True)
class Seen:
    """What was last heard of a run in the cloud."""

    stage: str
    detail: str = ""
    step: int = 0
    total_steps: int = 0
    loss: float | None = None


@dataclass(frozen=True)
class CloudJob:
    """A run in the cloud.  job_id: the service's own.  repo_id: where its result goes, or "".

    parameters: JSON without the token, or "" where they weren't noted.  seen: None if nothing was heard yet.
    """

    job_id: str
    repo_id: str
    url: str
    parameters: str
    seen: Seen | None


@dataclass(frozen=True)
class Queued:
    """A run that hasn't begun.

    stage: waiting, launching (somebody is about to start it), stopped (taken out of the queue) or failed (refused).
    reason: of the last two.  since: seconds since the epoch; the order in which they begin.
    """

    stage: str
    reason: str
    since: float
    resume: bool
    overwrite: bool


@dataclass(frozen=True)
class Entry:
    """A line of the registry.  started: seconds since the epoch.

    folder: absolute; of a run in the cloud, where it would lie on this machine.
    born: tells the worker from a later process with its number, "" if unknown.
    output: where a run in the background writes what it prints.
    notes: the user's own words.  queued: None once it has begun.
    parameters: of a local run that was queued, JSON without the token; once it has its folder, that says it.
    """

    id: int
    name: str
    folder: Path
    started: float
    backend: str
    pid: int
    born: str = ""
    output: Path | None = None
    cloud: CloudJob | None = None
    notes: str = ""
    parameters: str = ""
    queued: Queued | None = None

    @property
    def reason_file(self) -> Path | None:
        """Where the worker of a run in the background says why it ended."""
        return self.output.with_suffix(".reason") if self.output else None


def register(name: str, folder: Path, backend: str, pid: int, output: Path | None = None) -> int | None:
    """Note a run that has begun; a folder has one entry, its latest run.  Never fails a run: None with a notice."""
    printed = str(output.absolute()) if output else None
    values = (name, time.time(), backend, pid, birth_of(pid), printed, str(folder.absolute()))
    return _note(
        (
            "update runs set name = ?, started = ?, backend = ?, pid = ?, born = ?, output = ?, "
            "parameters = case when queue is null then '' else parameters end, queue = null "
            "where folder = ? and job_id is null returning id",
            values,
        ),
        (
            "insert into runs (name, started, backend, pid, born, output, folder) values (?, ?, ?, ?, ?, ?, ?) returning id",
            values,
        ),
    )


def register_cloud(name: str, backend: str, job_id: str, repo_id: str, url: str, parameters: str = "") -> int | None:
    """Note a run that has begun in the cloud; started from the folder where the user stands.

    parameters: as `params.to_json()`, so that it can be resumed.  A job has one entry, and a repo none of earlier jobs that
    are known to have ended: the new one takes their place.  Never fails a run: None with a notice.
    """
    # One of the queue keeps its number and its place, and the job's earlier entry goes.
    queued = "queue = 'launching' and pid = ? and name = ? and backend = ?"
    mine = (os.getpid(), name, backend)
    _change(f"delete from runs where job_id = ? and exists (select 1 from runs where {queued})", (job_id, *mine))
    _change(f"update runs set job_id = ? where {queued}", (job_id, *mine))
    marks = ", ".join("?" * len(ENDED))
    ended = f"job_id is not null and repo_id = ? and stage in ({marks})"
    if repo_id:  # the latest of those that have ended keeps its number
        _change(
            f"update runs set job_id = ? where id = (select max(id) from runs where {ended}) "
            "and not exists (select 1 from runs where job_id = ?)",
            (job_id, repo_id, *ENDED, job_id),
        )
    values = (name, str(Path(name).absolute()), time.time(), backend, repo_id, url, parameters, job_id)
    number = _note(
        (
            "update runs set name = ?, folder = case when queue is null then ? else folder end, started = ?, backend = ?, "
            "repo_id = ?, url = ?, parameters = ?, queue = null, stage = null, detail = null, step = null, "
            "total_steps = null, loss = null where job_id = ? returning id",
            values,
        ),
        (
            "insert into runs (name, folder, started, backend, repo_id, url, parameters, job_id, pid) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, 0) returning id",
            values,
        ),
    )
    if number is not None and repo_id:
        _change(f"delete from runs where {ended} and id <> ?", (repo_id, *ENDED, number))
    return number


def adopt(folder: Path) -> None:
    """Note a run that the registry doesn't know: it was moved, or the registry is new."""
    state = read_state(folder)
    started = state.heartbeat if state else time.time()
    _note(
        (
            "insert into runs (name, folder, started, backend, pid) values (?, ?, ?, 'local', ?) returning id",
            (folder.name, str(folder), started, state.pid if state else 0),
        )
    )


def note_seen(entry_id: int, seen: Seen) -> None:
    """Keep what was heard of a run in the cloud."""
    _change(
        "update runs set stage = ?, detail = ?, step = ?, total_steps = ?, loss = ? where id = ?",
        (seen.stage, seen.detail, seen.step, seen.total_steps, seen.loss, entry_id),
    )


def forget(entry_id: int) -> bool:
    """Take a run out of the registry; its folder, and what it left in the cloud, stay.  False where it can't be written."""
    return _change("delete from runs where id = ?", (entry_id,))


class NoSuchRun(RunFolderError):
    """A number that no run has, or none any more."""

    def __init__(self, number: int) -> None:
        super().__init__(f"there's no run {number} (any more)")


def get(number: int) -> Entry:
    """The run with this number.  Raises NoSuchRun; RunFolderError as `entries`."""
    found = _select("where id = ?", (number,))
    if not found:
        raise NoSuchRun(number)
    return found[0]


def latest(entry: Entry) -> Entry:
    """The entry as it is now, if it is one that changes when its run begins.  Raises as `get`."""
    return get(entry.id) if entry.queued else entry


def entries() -> list[Entry]:
    """All registered runs, the latest first.  Raises RunFolderError if there's a registry that can't be read."""
    return _select("order by started desc, id desc", ())


def note(number: int, text: str) -> None:
    """Keep the user's own words about a run."""
    _change("update runs set notes = ? where id = ?", (text, number))


def _select(condition: str, values: tuple[object, ...]) -> list[Entry]:
    try:
        if not (home() / DATABASE).exists():
            return []
        rows = _rows(f"select {COLUMNS} from runs {condition}", values)
    except (OSError, sqlite3.Error) as problem:
        raise unreadable(problem) from problem
    return [_entry(*row) for row in rows]


def unreadable(problem: Exception) -> RunFolderError:
    """What to tell the user of a registry that can't be used."""
    return RunFolderError(
        f"the registry of runs {home() / DATABASE} can't be read: {problem}; set AUTOTRAIN_HOME to another folder, "
        "or move the file away to begin a new one: runs can be named by their folder"
    )


def _entry(
    number: int, name: str, folder: str, started: float, backend: str, pid: int, born: str, output: str | None,
    job_id: str | None, repo_id: str, url: str, parameters: str,
    stage: str | None, detail: str | None, step: int | None, total_steps: int | None, loss: float | None,
    notes: str, queue: str | None, since: float, options: str,
) -> Entry:  # fmt: skip
    seen = Seen(stage, detail or "", step or 0, total_steps or 0, loss) if stage else None
    queued = Queued(queue, detail or "", since, "resume" in options, "overwrite" in options) if queue else None
    cloud = CloudJob(job_id, repo_id, url, parameters, seen) if job_id and not queued else None
    printed = Path(output) if output else None
    return Entry(number, name, Path(folder), started, backend, pid, born, printed, cloud, notes, parameters, queued)


def _note(*statements: Statement) -> int | None:
    """Run the statements until one returns an entry's number; None with a notice where the registry can't be written."""
    try:
        return first_number(*statements)
    except UnicodeError:
        log.notice("this run won't be listed by `autotrain runs`: the name of its folder is no text")
    except (OSError, sqlite3.Error) as problem:
        log.notice(
            f"this run won't be listed by `autotrain runs`: {home()} can't be written ({problem}); set AUTOTRAIN_HOME"
        )
    return None


def first_number(*statements: Statement) -> int | None:
    """What the first statement that returns an entry's number returns; one transaction.  Raises OSError and sqlite3.Error.

    An update and then an insert, rather than an insert that becomes an update: that would use up a number.
    """
    with open_registry() as database:
        for statement, values in statements:
            found = database.execute(statement, values).fetchone()
            if found:
                return found[0]
    return None


def _change(statement: str, values: tuple[object, ...]) -> bool:
    try:
        with open_registry() as database:
            database.execute(statement, values)
        return True
    except (OSError, sqlite3.Error):
        return False  # an index: what it misses is seen in the folder, or heard from the service again


@contextmanager
def open_registry() -> Generator[sqlite3.Connection]:
    """The registry, made or moved on if need be; one transaction, undone if something is raised."""
    home().mkdir(parents=True, exist_ok=True)
    path = home() / DATABASE
    with closing(sqlite3.connect(path, timeout=LOCK_TIMEOUT_SECONDS, isolation_level=None)) as database:
        _keep_a_log(database)
        database.execute("begin immediate")
        try:
            move_on(database)
            yield database
        except BaseException:
            database.execute("rollback")
            raise
        database.execute("commit")


def _keep_a_log(database: sqlite3.Connection) -> None:
    """Write-ahead, so that readers and a writer don't wait for each other.  For this step alone SQLite itself doesn't wait:
    whoever else makes the file at this moment, or is the last to close it, would be an error (`database is locked`).
    """
    end = time.monotonic() + LOCK_TIMEOUT_SECONDS
    while True:
        try:
            database.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.005)


def _rows(statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    """Of the registry; where it can't be written (another's, read-only, a full disk), of a copy in memory."""
    try:
        with open_registry() as database:
            return database.execute(statement, values).fetchall()
    except sqlite3.OperationalError:
        copy = _copy()
        if copy is None:
            raise
    with closing(copy):
        return copy.execute(statement, values).fetchall()


def _copy() -> sqlite3.Connection | None:
    """None where it can't be read either.  immutable: without the files beside it that SQLite would make."""
    for options in ("mode=ro", "mode=ro&immutable=1"):
        copy = sqlite3.connect(":memory:", isolation_level=None)
        try:
            with closing(sqlite3.connect(f"{(home() / DATABASE).absolute().as_uri()}?{options}", uri=True)) as database:
                database.backup(copy)
            move_on(copy)
        except sqlite3.OperationalError:
            copy.close()
            continue
        return copy
    return None
