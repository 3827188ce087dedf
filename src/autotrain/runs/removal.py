"""Taking a run away: out of the registry, and, if asked for, off the disk."""

import os
from pathlib import Path

from autotrain.errors import RunFolderError
from autotrain.home import home
from autotrain.run_folder import LOCK_FILE, claim, foreign_entries, is_run
from autotrain.runs.registry import Entry, forget


def folder_bytes(folder: Path) -> int:
    """What the files in `folder` take, in bytes; links count as nothing."""
    return sum(
        os.lstat(os.path.join(place, name)).st_size
        for place, _, names in os.walk(folder)
        for name in names
        if not os.path.islink(os.path.join(place, name))
    )


def remove_entry(entry: Entry) -> None:
    """Take a run out of the registry, with what it printed in the background; its folder stays.

    Raises RunFolderError where the registry can't be written.
    """
    if not forget(entry.id):
        raise RunFolderError(f"{entry.name} stays listed: the registry of runs in {home()} can't be written")
    for file in (entry.output, entry.reason_file):
        if file:
            file.unlink(missing_ok=True)


def check_removable(folder: Path) -> None:
    """Raise RunFolderError if `folder` isn't a run's alone."""
    if not is_run(folder):
        raise RunFolderError(f"{folder} holds no run; it stays as it is")
    foreign = ", ".join(foreign_entries(folder)[:5])
    if foreign:
        raise RunFolderError(f"{folder} also holds files that no run made ({foreign}); move them away first")


def remove_folder(folder: Path) -> None:
    """Delete a run folder, kept from workers meanwhile.

    Raises RunFolderError as `check_removable`, or while a worker writes to it.
    """
    check_removable(folder)
    held = claim(folder, resume=False, overwrite=True)  # emptied, but for its lock
    try:
        (folder / LOCK_FILE).unlink()
        if not folder.is_symlink():
            folder.rmdir()
    finally:
        held.release()
