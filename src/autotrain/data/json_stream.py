"""JSON values out of a file, one at a time: a top-level array, or objects one after another."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autotrain.errors import DataError

CHUNK_BYTES = 1 << 18
# A value cut off by the end of what was read breaks at most this close to that end.
LONGEST_LITERAL = 16
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class _Text:
    """The part of a file that is being parsed; `position` is where, and `line` the line of that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._is_at_end = False
        self.text = ""
        self.position = 0
        self.line = 1

    def close(self) -> None:
        self._file.close()

    def read_more(self) -> bool:
        """Read as much again as is held, at least a chunk; False at the end of the file."""
        if self._is_at_end:
            return False
        rest = self.text[self.position :]
        raw = self._file.read(max(CHUNK_BYTES, len(rest)))
        self._is_at_end = not raw
        try:
            self.text = rest + self._decoder.decode(raw, final=self._is_at_end)
        except UnicodeDecodeError as error:
            line = self.line + rest.count("\n") + error.object.count(b"\n", 0, error.start)
            raise DataError(f"{self._path}:{line}: not valid UTF-8; save the file as UTF-8") from None
        self.position = 0
        return not self._is_at_end

    def go_to(self, position: int) -> None:
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def next_character(self) -> str:
        """Skip white space; the character that follows, or "" at the end of the file."""
        while True:
            space = _SPACE.match(self.text, self.position)
            self.go_to(space.end() if space else self.position)
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.read_more():
                return ""

    def next_value(self) -> Any:
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.position)
            except json.JSONDecodeError as error:
                is_cut_off = error.msg.startswith("Unterminated") or error.pos >= len(self.text) - LONGEST_LITERAL
                if is_cut_off and self.read_more():
                    continue
                line = self.line + self.text.count("\n", self.position, error.pos)
                raise DataError(
                    f"{self._path}:{line}: broken JSON: {error.msg.removesuffix(' at')} at column {error.colno}"
                ) from None
            except RecursionError:
                raise DataError(f"{self._path}:{self.line}: broken JSON: nested too deeply") from None
            self.go_to(end)
            return value


def read_json_values(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield (line on which it begins, value).  Raises DataError naming file and line where the JSON is broken."""
    source = _Text(path)
    try:
        if source.next_character() == "[":
            source.go_to(source.position + 1)
            yield from _array(path, source)
        else:
            while source.next_character():
                line = source.line
                yield line, source.next_value()
    finally:
        source.close()


def _array(path: Path, source: _Text) -> Iterator[tuple[int, Any]]:
    is_first = True
    while (character := source.next_character()) not in ("", "]"):
        if not is_first:
            if character != ",":
                raise DataError(f"{path}:{source.line}: broken JSON: expected , or ] between rows, found {character!r}")
            source.go_to(source.position + 1)
            source.next_character()
        is_first = False
        line = source.line
        yield line, source.next_value()
    if not character:
        raise DataError(f"{path}:{source.line}: broken JSON: the list of rows has no closing ]; the file may be cut off")
    source.go_to(source.position + 1)
    if source.next_character():
        raise DataError(
            f"{path}:{source.line}: broken JSON: something follows the list of rows; "
            "for one value a line, name the file .jsonl"
        )
