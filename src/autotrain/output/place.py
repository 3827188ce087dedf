"""Files that appear whole or not at all: written in a temporary folder, synced, then moved."""

import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

# Loaders look for these; they come last, when what they describe is there.
_LAST = ("model.safetensors.index.json", "adapter_config.json", "config.json")


@contextmanager
def temporary_folder(parent: Path, purpose: str) -> Generator[Path]:
    """A folder inside `parent` (made if absent), deleted on leaving, whatever happened."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".tmp-{purpose}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sync_files(folder: Path) -> None:
    """Make the files of `folder` survive a power cut, and readable as other new files are.

    mkdtemp makes the folder private, and safetensors its files.
    """
    mask = _umask()
    for path in [*folder.rglob("*"), folder]:
        path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def move_in(source: Path, target: Path) -> None:
    """Move each file of `source` into `target`, replacing those of the same name; configs last."""
    entries = sorted(source.iterdir(), key=lambda entry: (entry.name in _LAST, entry.name))
    for entry in entries:
        os.replace(entry, target / entry.name)
    sync_folder(target)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
