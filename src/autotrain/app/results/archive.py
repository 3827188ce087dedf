"""A result as a ZIP file that is made while it is sent: never whole in memory, never on disk."""

import io
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from autotrain.errors import RunFolderError
from autotrain.hub.contents import Upload
from autotrain.run_folder import held

_CHUNK_BYTES = 1 << 20


class _Sink(io.RawIOBase):
    """Keeps what the archive writes until it is sent."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def archive(folder: Path, files: Sequence[Upload]) -> Iterator[bytes]:
    """Chunks of the archive; all files lie in a folder of the run's name.  Workers are kept out meanwhile.

    Raises RunFolderError if one is writing there.
    """
    sink = _Sink()
    with held(folder), zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as made:  # weights don't get smaller
        for file in files:
            entry = zipfile.ZipInfo(f"{folder.name}/{file.path}", time.localtime()[:6])
            entry.external_attr = 0o644 << 16
            with made.open(entry, "w", force_zip64=True) as opened:
                for chunk in _chunks(file.content):
                    opened.write(chunk)
                    yield sink.take()
    yield sink.take()


def check_inside(folder: Path, files: Sequence[Upload]) -> None:
    """Raise RunFolderError if one of `files` is a link that leads out of the run folder."""
    root = folder.resolve()
    for file in files:
        if not (folder / file.path).resolve().is_relative_to(root):
            raise RunFolderError(f"{file.path} is a link that leads out of the run folder; put the file itself there")


def _chunks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as source:
        while chunk := source.read(_CHUNK_BYTES):
            yield chunk
