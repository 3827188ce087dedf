"""The registry, read again only when it changed."""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from autotrain.home import home
from autotrain.runs import Entry
from autotrain.runs.registry import DATABASE, entries

# A file that was written just now may be written again within the same tick of the file system's clock.
_TICK_SECONDS = 0.05

Signature = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class _Read:
    signature: Signature
    entries: tuple[Entry, ...]
    by_number: Mapping[int, Entry]


class Known:
    """All runs that are registered, the latest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read = _Read((), (), {})
        self._is_settled = False

    def entries(self) -> tuple[Entry, ...]:
        """Raises RunFolderError if there's a registry that can't be read."""
        return self._now().entries

    def entry(self, number: int) -> Entry | None:
        """Raises RunFolderError if there's a registry that can't be read."""
        return self._now().by_number.get(number)

    def _now(self) -> _Read:
        with self._lock:
            signature = registry_signature()
            if not self._is_settled or signature != self._read.signature:
                self._is_settled = _is_settled(signature)
                found = tuple(entries())
                self._read = _Read(signature, found, {one.id: one for one in found})
            return self._read


def registry_signature() -> Signature:
    """Differs when the registry was written to.  A journal that is empty says nothing."""
    file = home() / DATABASE
    return tuple(one for path in (file, f"{file}-wal") if (one := file_signature(str(path))) and one[1])


def file_signature(path: str) -> tuple[int, int, int]:
    """Differs when the file was written to, cut or replaced: time in ns, bytes, inode; zeros where there's none."""
    try:
        about = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (about.st_mtime_ns, about.st_size, about.st_ino)


def _is_settled(signature: Signature) -> bool:
    latest = max((written for written, *_ in signature), default=0)
    return time.time_ns() - latest > _TICK_SECONDS * 1e9
