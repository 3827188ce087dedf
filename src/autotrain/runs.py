"""The registry of runs: an index of run folders in AutoTrain's home.  The folders are the truth."""

import json
import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from autotrain import log
from autotrain.home import home
from autotrain.run_folder import FINISHING, METRICS_FILE, TRAINING, RunState, is_run, read_state

DATABASE = "runs.db"
LOCK_TIMEOUT_SECONDS = 5.0
_TAIL_BYTES = 64_000
_SCHEMA = """
create table if not exists runs (
    id integer primary key, name text not null, folder text not null unique,
    started real not null, backend text not null, pid integer not null
)
"""


@dataclass(frozen=True)
class Entry:
    """A line of the registry.  started: seconds since the epoch."""

    id: int
    name: str
    folder: Path
    started: float
    backend: str
    pid: int


@dataclass(frozen=True)
class Run:
    """A registered run and what its folder says.  stage: as in state.json, or starting, stopped, gone."""

    entry: Entry
    stage: str
    step: int
    total_steps: int
    loss: float | None


def register(name: str, folder: Path, backend: str, pid: int) -> int | None:
    """Note a run that has begun; a folder has one entry, its latest run.  Never fails a run: None with a notice."""
    row = (name, str(folder.absolute()), time.time(), backend, pid)
    try:
        with _database() as database:
            database.execute("delete from runs where folder = ?", (row[1],))
            cursor = database.execute("insert into runs (name, folder, started, backend, pid) values (?, ?, ?, ?, ?)", row)
            return cursor.lastrowid
    except (OSError, sqlite3.Error) as problem:
        log.notice(
            f"this run won't be listed by `autotrain runs`: {home()} can't be written ({problem}); set AUTOTRAIN_HOME"
        )
        return None


def forget(entry_id: int) -> None:
    """Take out a run that was refused before it began."""
    try:
        with _database() as database:
            database.execute("delete from runs where id = ?", (entry_id,))
    except (OSError, sqlite3.Error):
        return  # the list shows it as gone


def list_runs() -> list[Run]:
    """All registered runs, the latest first.  Raises OSError or sqlite3.Error if there's a registry that can't be read."""
    if not (home() / DATABASE).exists():
        return []
    with _database() as database:
        rows = database.execute("select id, name, folder, started, backend, pid from runs order by started desc").fetchall()
    return [
        _look_at(Entry(number, name, Path(folder), started, backend, pid))
        for number, name, folder, started, backend, pid in rows
    ]


def is_alive(pid: int) -> bool:
    """Whether `pid` is a running worker; where the system can tell, not just some process with its number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # somebody else's, so not a worker of ours
    try:
        return b"autotrain" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def last_loss(folder: Path) -> float | None:
    """The training loss that the run in `folder` logged last, or None."""
    try:
        with (folder / METRICS_FILE).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((loss for line in reversed(lines) if (loss := _loss(line)) is not None), None)


def _loss(line: str) -> float | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None  # cut by the tail, or still being written
    loss = row.get("loss") if isinstance(row, dict) else None
    return float(loss) if isinstance(loss, int | float) else None


def _look_at(entry: Entry) -> Run:
    state = read_state(entry.folder)
    if state is None:
        return Run(entry, _stage_without_state(entry), 0, 0, None)
    return Run(entry, _stage(entry, state), state.step, state.total_steps, last_loss(entry.folder))


def _stage(entry: Entry, state: RunState) -> str:
    if state.stage in (TRAINING, FINISHING) and not is_alive(state.pid):
        return "starting" if state.pid != entry.pid and is_alive(entry.pid) else "stopped"
    return state.stage


def _stage_without_state(entry: Entry) -> str:
    if is_alive(entry.pid):
        return "starting"
    return "stopped" if is_run(entry.folder) else "gone"


@contextmanager
def _database() -> Generator[sqlite3.Connection]:
    """The registry, made if absent; committed at the end."""
    home().mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(home() / DATABASE, timeout=LOCK_TIMEOUT_SECONDS)) as database:
        database.execute("pragma journal_mode = wal")
        database.execute(_SCHEMA)
        with database:
            yield database
