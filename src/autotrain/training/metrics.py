"""JSON-lines files that can be cut back to where a checkpoint was written."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO


class JsonLines:
    """Appends one JSON object a line to the file at `path`, each at once on disk (as far as the system sees)."""

    def __init__(self, path: Path, *, length_bytes: int = 0) -> None:
        """Keep the first `length_bytes` of the file and cut the rest off."""
        self.path = path
        self._file: BinaryIO = path.open("ab")
        self._file.truncate(min(length_bytes, path.stat().st_size))

    @property
    def length_bytes(self) -> int:
        return self._file.seek(0, 2)

    def append(self, row: Mapping[str, Any]) -> None:
        """A number that isn't finite (a gradient that overflowed in fp16) is written as null: JSON has no word for it."""
        sound = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
        }
        self._file.write((json.dumps(sound, ensure_ascii=False, allow_nan=False) + "\n").encode())
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSON-lines file; an unfinished last line is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines if line]
