"""The registry's table, and how one written by an earlier version is moved on."""

import sqlite3

VERSION = 1

# A local run has a folder and a worker, a run in the cloud a job; `folder` is then where the local run would lie, so that
# paths in its parameters can be followed.  stage to loss: what was last heard from the cloud.
_TABLE = """
create table runs (
    id integer primary key autoincrement, name text not null, folder text not null, started real not null,
    backend text not null, pid integer not null, born text not null default '', output text,
    job_id text unique, repo_id text not null default '', url text not null default '', parameters text not null default '',
    stage text, detail text, step integer, total_steps integer, loss real
)
"""
_ONE_RUN_A_FOLDER = "create unique index one_run_a_folder on runs (folder) where job_id is null"
_OF_VERSION_0 = "id, name, folder, started, backend, pid"


def move_on(database: sqlite3.Connection) -> None:
    """Make the table, or rebuild that of version 0 with its entries and their numbers; inside a transaction.

    Raises sqlite3.DatabaseError if a later version wrote it.
    """
    (version,) = database.execute("pragma user_version").fetchone()
    if version == VERSION:
        return
    if version > VERSION:
        raise sqlite3.DatabaseError(f"a later version of AutoTrain wrote it (schema {version}, this one knows {VERSION})")
    is_old = database.execute("select 1 from sqlite_master where type = 'table' and name = 'runs'").fetchone()
    if is_old:
        database.execute("alter table runs rename to runs_before")
    database.execute(_TABLE)
    database.execute(_ONE_RUN_A_FOLDER)
    if is_old:
        database.execute(f"insert into runs ({_OF_VERSION_0}) select {_OF_VERSION_0} from runs_before")
        database.execute("drop table runs_before")
    database.execute(f"pragma user_version = {VERSION}")
