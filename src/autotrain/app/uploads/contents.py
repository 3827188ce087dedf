"""What a file holds, told by its first bytes; its name only decides between kinds that look alike."""

import csv
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain.app.uploads.encoding import UTF_8, find_encoding
from autotrain.app.uploads.refused import Refused

HEAD_BYTES = 1 << 18
NUM_RECORDS = 40
SEPARATORS = (",", ";", "\t", "|")
_EVEN_SHARE = 0.6  # of the first records, that have as many cells as the header
MAX_NAME_CHARACTERS = 60  # of a column
SENTENCE_ENDS = (".", "!", "?", "。", "！", "？")
# What other kinds of files begin with -> key of the words.
_OTHERS = (
    (b"%PDF", "pdf"),
    (b"\xd0\xcf\x11\xe0", "excel"),
    (b"\x1f\x8b", "packed"),
    (b"BZh", "packed"),
    (b"\xfd7zXZ", "packed"),
    (b"7z\xbc\xaf", "packed"),
    (b"Rar!", "packed"),
    (b"\x28\xb5\x2f\xfd", "packed"),
    (b"\x89PNG", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"GIF8", "picture"),
    (b"{\\rtf", "document"),
    (b"SQLite format 3", "binary"),
    (b"\x7fELF", "binary"),
    (b"ARROW1", "arrow"),
)
_WEB_PAGE = re.compile(r"<(!doctype|html|head|body|\?xml|svg)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Contents:
    """kind: csv, jsonl, json, parquet or txt.  separator: of csv.  has_hint: a first line `sep=;`, as Excel writes it."""

    kind: str
    encoding: str = UTF_8
    separator: str = ","
    has_hint: bool = False


def look_into(path: Path, name: str) -> Contents:
    """name: as the user calls the file.  Raises Refused for what can't be training data."""
    with path.open("rb") as file:
        start = file.read(64)
    if not start.strip(b" \t\r\n\0"):
        with path.open("rb") as file:
            if not file.read(HEAD_BYTES).strip(b" \t\r\n\0\xef\xbb\xbf\xff\xfe"):
                raise Refused("empty")
    if start.startswith(b"PAR1"):
        return _parquet(path)
    if start.startswith(b"PK\x03\x04"):
        raise Refused(_kind_of_zip(path))
    for beginning, key in _OTHERS:
        if start.startswith(beginning):
            raise Refused(key)
    encoding = find_encoding(path)
    head, is_whole = _head(path, encoding)
    if not head.strip():
        raise Refused("empty")
    return _of_text(head, is_whole, name, encoding)


def _parquet(path: Path) -> Contents:
    with path.open("rb") as file:
        file.seek(-4, 2)
        if file.read(4) != b"PAR1" or file.tell() < 12:
            raise Refused("cut_off")
    return Contents("parquet")


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            tops = {name.partition("/")[0] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError):
        return "packed"
    return "excel" if "xl" in tops else "document" if {"word", "ppt"} & tops else "packed"


def _head(path: Path, encoding: str) -> tuple[str, bool]:
    """The first lines, and whether they are all."""
    with path.open("rb") as file:
        raw = file.read(HEAD_BYTES)
    is_whole = path.stat().st_size <= HEAD_BYTES
    text = raw.decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    return (text if is_whole or "\n" not in text else text[: text.rindex("\n") + 1]), is_whole


def _of_text(head: str, is_whole: bool, name: str, encoding: str) -> Contents:
    start = head.lstrip()
    if _WEB_PAGE.match(start):
        raise Refused("web_page")
    if start[0] in "{[":
        kind = _kind_of_json(start, is_whole)
        if kind:
            return Contents(kind, encoding)
    suffix = Path(name).suffix.lower()
    first, _, rest = head.partition("\n")
    hint = re.fullmatch(r'"?sep=(.)"?', first.strip(), re.IGNORECASE)
    if hint:
        return Contents("csv", encoding, hint[1], has_hint=True)
    separator = find_separator(head)
    if separator and (suffix in (".csv", ".tsv") or _names_columns(head, separator)):
        return Contents("csv", encoding, separator)
    if suffix in (".csv", ".tsv") and rest.strip():
        return Contents("csv", encoding)
    if suffix in (".json", ".jsonl", ".ndjson"):
        raise Refused("not_json", start=first.strip()[:60])
    if suffix in (".csv", ".tsv"):
        raise Refused("one_line")
    return Contents("txt", encoding)


def _kind_of_json(start: str, is_whole: bool) -> str | None:
    """json for one value, jsonl for one a line; None for neither."""
    lines = [line for line in start.split("\n") if line.strip()]
    values = [_parsed(line) for line in lines[:3]]
    is_line = [isinstance(value, dict | list) for value in values]
    if len(lines) == 1:
        is_talk = isinstance(values[0], list) and all(isinstance(row, dict) and "role" in row for row in values[0])
        return "jsonl" if is_talk else "json"
    if sum(is_line) * 2 > len(is_line) or (is_line[0] and is_line[1]):
        return "jsonl"
    return "json" if re.match(r"\[\s*[\[{]|\{\s*\"", start) else None


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def find_separator(head: str) -> str | None:
    """What stands between the cells; None where there is one column."""
    best, score = None, (0.0, 0)
    for separator in SEPARATORS:
        records = _records(head, separator)
        width = len(records[0]) if records else 0
        if width < 2:
            continue
        share = sum(len(record) == width for record in records) / len(records)
        if share >= _EVEN_SHARE and (round(share, 1), width) > score:
            best, score = separator, (round(share, 1), width)
    return best


def _records(head: str, separator: str) -> list[list[str]]:
    found: list[list[str]] = []
    try:
        for record in csv.reader(io.StringIO(head), delimiter=separator):
            if record:
                found.append(record)
            if len(found) == NUM_RECORDS:
                break
    except csv.Error:
        return []
    return found


def _names_columns(head: str, separator: str) -> bool:
    """Whether the first record looks like names of columns, in a file that isn't called csv."""
    records = _records(head, separator)
    header: Sequence[str] = records[0] if records else ()
    is_once = max(Counter(header).values(), default=2) == 1
    is_even = len(records) > 1 and all(len(record) == len(header) for record in records)
    return (
        is_even
        and is_once
        and all(0 < len(name.strip()) <= MAX_NAME_CHARACTERS and not name.strip().endswith(SENTENCE_ENDS) for name in header)
    )
