"""The registry's table, and how one written by an earlier version is moved on."""

import sqlite3

VERSION = 2

# A local run has a folder and a worker, a run in the cloud a job; `folder` is then where the local run would lie, so that
# paths in its parameters can be followed.  stage to loss: what was last heard from the cloud.
# queue: null of a run that has begun, else why it hasn't (`waiting.py`); queued: since when; options: how it is to begin.
_TABLE = """
create table runs (
    id integer primary key autoincrement, name text not null, folder text not null, started real not null,
    backend text not null, pid integer not null, born text not null default '', output text,
    job_id text unique, repo_id text not null default '', url text not null default '', parameters text not null default '',
    stage text, detail text, step integer, total_steps integer, loss real,
    notes text not null default '', queue text, queued real not null default 0, options text not null default ''
)
"""
_NEW_IN_VERSION_2 = (
    "notes text not null default ''", "queue text", "queued real not null default 0", "options text not null default ''"
)  # fmt: skip
_ONE_RUN_A_FOLDER = "create unique index one_run_a_folder on runs (folder) where job_id is null"
_OF_VERSION_0 = "id, name, folder, started, backend, pid"


def move_on(database: sqlite3.Connection) -> None:
    """Make the table, or move on that of an earlier version with its entries and their numbers; inside a transaction.

    Raises sqlite3.DatabaseError if a later version wrote it.
    """
    (version,) = database.execute("pragma user_version").fetchone()
    if version == VERSION:
        return
    if version > VERSION:
        raise sqlite3.DatabaseError(f"a later version of AutoTrain wrote it (schema {version}, this one knows {VERSION})")
    if version == 1:
        for column in _NEW_IN_VERSION_2:
            database.execute(f"alter table runs add column {column}")
    else:
        _make(database)
    database.execute(f"pragma user_version = {VERSION}")


def _make(database: sqlite3.Connection) -> None:
    """The table; of version 0, which had no number, the entries are taken over."""
    is_old = database.execute("select 1 from sqlite_master where type = 'table' and name = 'runs'").fetchone()
    if is_old:
        database.execute("alter table runs rename to runs_before")
    database.execute(_TABLE)
    database.execute(_ONE_RUN_A_FOLDER)
    if is_old:
        database.execute(f"insert into runs ({_OF_VERSION_0}) select {_OF_VERSION_0} from runs_before")
        database.execute("drop table runs_before")
