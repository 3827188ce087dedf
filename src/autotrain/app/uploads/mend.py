"""A file as it was dropped becomes one that is read everywhere: UTF-8, commas, a name for each column."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from autotrain.app.uploads.contents import MAX_NAME_CHARACTERS, SENTENCE_ENDS, SEPARATORS, Contents
from autotrain.app.uploads.encoding import UTF_8
from autotrain.app.uploads.refused import Note

MAX_CELL_CHARACTERS = 1 << 28
MAX_WRAPPED_BYTES = 256 << 20  # a JSON object around the rows is read whole
_NAMES_OF_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def mend(source: Path, target: Path, contents: Contents) -> list[Note]:
    """Write `target` from `source`; returns what was done, nothing for a file that was right."""
    if contents.kind == "parquet":
        source.rename(target)
        return []
    notes = [] if contents.encoding in (UTF_8, "utf-8-sig") else [Note("recoded", {"encoding": contents.encoding.upper()})]
    if contents.kind == "csv":
        return notes + _mend_csv(source, target, contents, is_recoded=bool(notes))
    if contents.kind == "json" and (wrapped := _unwrapped(source, contents.encoding)):
        key, rows = wrapped
        with target.open("w", encoding=UTF_8) as file:
            json.dump(rows, file, ensure_ascii=False, indent=0)
        return [*notes, Note("unwrapped", {"inside": key})]
    if notes or _has_old_line_ends(source):
        _recode(source, target, contents.encoding)
    else:
        source.rename(target)
    return notes


def _mend_csv(source: Path, target: Path, contents: Contents, *, is_recoded: bool) -> list[Note]:
    """Only rewritten where it must be, so that a file that is right stays as it is."""
    separator = contents.separator if contents.separator in SEPARATORS else ","
    with source.open(encoding=contents.encoding, errors="replace", newline="") as file:
        header = next((row for row in csv.reader(file, delimiter=separator) if row and not _is_hint(row, contents)), [])
    is_data = _is_data(header)
    names = [f"column {number}" for number in range(1, len(header) + 1)] if is_data else _names(header)
    notes = [Note("separator", {"separator": _NAMES_OF_SEPARATORS[separator]})] if separator != "," else []
    if is_data:
        notes.append(Note("no_header", {"names": ", ".join(names)}))
    elif names != header:
        notes.append(Note("columns_named", {"names": ", ".join(name for name in names if name not in header)}))
    if not notes and not is_recoded and not contents.has_hint and not _has_old_line_ends(source):
        source.rename(target)
        return []
    _rewrite(source, target, contents, separator, names, keeps_first=is_data)
    return notes


def _rewrite(
    source: Path, target: Path, contents: Contents, separator: str, names: Sequence[str], *, keeps_first: bool
) -> None:
    """Each record begins in the line in which it began, so that messages name the user's own lines.

    keeps_first: the first record is a row, and names are put before it.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    with (
        source.open(encoding=contents.encoding, errors="replace", newline="") as file,
        target.open("w", encoding=UTF_8, newline="") as out,
    ):
        writer, reader = csv.writer(out, lineterminator="\n"), csv.reader(_lines(file), delimiter=separator)
        has_header = False
        for row in reader:
            if not row or (not has_header and _is_hint(row, contents)):
                out.write("\n")
            elif not has_header:
                has_header = True
                writer.writerows([names, row] if keeps_first else [names])
            else:
                writer.writerow(_fitted(row, len(names)))


def _lines(file: Any) -> Iterator[str]:
    """Lines with the ends of our time; a carriage return inside a cell becomes one, too."""
    for line in file:
        yield line.replace("\r\n", "\n").replace("\r", "\n")


def _is_hint(row: Sequence[str], contents: Contents) -> bool:
    return contents.has_hint and row[0].lower().startswith("sep=")


def _fitted(row: list[str], width: int) -> list[str]:
    """Without empty cells that Excel adds at the end."""
    while len(row) > width and not row[-1].strip():
        row = row[:-1]
    return row


def _is_data(header: Sequence[str]) -> bool:
    """Whether what should be names of columns are sentences."""
    return any(len(name) > MAX_NAME_CHARACTERS or name.strip().endswith(SENTENCE_ENDS) for name in header)


def _names(header: Sequence[str]) -> list[str]:
    """Without spaces around them, none empty, none twice."""
    names = [name.strip().lstrip("\ufeff") for name in header]
    while len(names) > 1 and not names[-1]:
        names.pop()
    seen: Counter[str] = Counter()
    result: list[str] = []
    for number, name in enumerate(names, start=1):
        name = name or f"column {number}"
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return result


def _unwrapped(source: Path, encoding: str) -> tuple[str, list[Any]] | None:
    """The rows inside an object such as {"data": [...]}, and their key; None where the rows are on top."""
    with source.open("rb") as file:
        is_object = file.read(4096).decode(encoding, "replace").lstrip("\ufeff \t\r\n").startswith("{")
    if not is_object or source.stat().st_size > MAX_WRAPPED_BYTES:
        return None
    try:
        value = json.loads(source.read_text(encoding=encoding, errors="replace"))
    except (ValueError, RecursionError):
        return None
    lists = {key: rows for key, rows in value.items() if _holds_rows(rows)}
    others = [key for key in value if key not in lists]
    key = next((key for key in ("train", "data", "rows", "examples") if key in lists), next(iter(lists), None))
    is_wrapper = key is not None and (len(lists) > 1 or not others or key in ("train", "data", "rows", "examples"))
    return (str(key), lists[key]) if is_wrapper and key is not None else None


def _holds_rows(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)
    return is_list and not any("role" in row or "from" in row for row in value[:3])


def _has_old_line_ends(source: Path) -> bool:
    """Carriage returns alone, as on old Macintosh computers."""
    with source.open("rb") as file:
        head = file.read(1 << 16)
    return b"\r" in head and b"\n" not in head


def _recode(source: Path, target: Path, encoding: str) -> None:
    with (
        source.open(encoding=encoding, errors="replace", newline=None) as file,
        target.open("w", encoding=UTF_8, newline="\n") as out,
    ):
        shutil.copyfileobj(file, out, 1 << 20)
