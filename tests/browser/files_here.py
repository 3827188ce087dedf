"""What lies in folders that a server writes to at the same time."""

from pathlib import Path


def files_with(folder: Path, text: bytes) -> list[Path]:
    """Files anywhere below `folder` that hold `text`."""
    return [file for file in folder.rglob("*") if text in _content(file)]


def _content(file: Path) -> bytes:
    """Journals of the registry and files that are about to be renamed come and go."""
    try:
        return file.read_bytes() if file.is_file() else b""
    except FileNotFoundError:
        return b""
