"""Columns on disk: records of one kind, appended at the end and read anywhere; memory holds a buffer only."""

import os
import tempfile
import weakref
from pathlib import Path
from typing import IO

import numpy as np

_BUFFER_BYTES = 1 << 16


class Column:
    """An array of `dtype` that grows, in a file without a name: it goes away with `close` or with the process.

    With `path`, a file that is there already; it is only read.
    """

    def __init__(self, dtype: np.dtype, path: Path | None = None) -> None:
        self.dtype = dtype
        self._file: IO[bytes] = tempfile.TemporaryFile() if path is None else path.open("rb")  # noqa: SIM115
        self._finish = weakref.finalize(self, self._file.close)
        self._length = 0 if path is None else path.stat().st_size // dtype.itemsize
        self._buffer = bytearray()
        self._view: np.ndarray | None = None

    def __len__(self) -> int:
        return self._length

    def append(self, value: bytes) -> None:
        """Add records, given as the bytes of an array of `dtype`."""
        self._buffer += value
        self._length += len(value) // self.dtype.itemsize
        self._view = None
        if len(self._buffer) >= _BUFFER_BYTES:
            self._write_out()

    def read(self, start: int, end: int) -> np.ndarray:
        """(end - start,) records, read from the file: memory that is mapped would count as this process's.

        Threads may read at the same time.
        """
        if self._buffer:
            self._write_out()
        size = self.dtype.itemsize
        return np.frombuffer(os.pread(self._file.fileno(), (end - start) * size, start * size), self.dtype)

    @property
    def values(self) -> np.ndarray:
        """All records, mapped into memory, read only."""
        if self._view is None:
            self._write_out()
            self._view = np.memmap(self._file, self.dtype, mode="r") if self._length else np.zeros(0, self.dtype)
        return self._view

    def save(self, path: Path) -> None:
        """Write all records to a new file that only its owner may read."""
        self._write_out()
        self._file.seek(0)
        path.touch(mode=0o600)
        with path.open("wb") as file:
            while chunk := self._file.read(1 << 22):
                file.write(chunk)

    def close(self) -> None:
        """Give the file's space back."""
        self._view = None
        self._finish()

    def _write_out(self) -> None:
        if self._buffer:
            self._file.seek(0, 2)
            self._file.write(self._buffer)
            self._file.flush()
            self._buffer.clear()
