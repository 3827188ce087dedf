"""Streaming readers: a file becomes rows, each with its file and line; nothing is held in memory but a row."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autotrain.data.json_stream import read_json_values
from autotrain.errors import DataError
from autotrain.types import Origin, Row

# The name of the only cell of a JSONL line that is a bare list and so has no column names.
BARE = ""
MAX_CELL_CHARACTERS = 1 << 28
PARQUET_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be read."""

    origin: Origin
    problem: str


Rows = Iterator[Row | BadRow]


def read_rows(path: Path) -> Rows:
    """Stream the rows of a csv, jsonl, json, parquet or txt file.

    Rows that can't be read come as BadRow; raises DataError where reading can't go on.
    """
    _check_encoding(path)
    return READERS[path.suffix.lower()](path)


def _check_encoding(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise DataError(f"{path}:1: the file is empty; a data file needs at least one row")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}:1: the file is UTF-16; save it as UTF-8")


def _read_lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield (line number, text with its line end, whether it was valid UTF-8); a byte-order mark is dropped."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            try:
                yield number, raw.decode("utf-8"), True
            except UnicodeDecodeError:
                yield number, raw.decode("utf-8", "replace"), False


class _CsvLines:
    """Feeds lines to csv.reader and remembers whether those of the current record were UTF-8."""

    def __init__(self, path: Path) -> None:
        self._lines = _read_lines(path)
        self.valid = True

    def __iter__(self) -> "_CsvLines":
        return self

    def __next__(self) -> str:
        _, text, valid = next(self._lines)
        self.valid = self.valid and valid
        return text


def _read_csv(path: Path) -> Rows:
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    lines = _CsvLines(path)
    reader = csv.reader(lines, strict=True)
    header = _read_header(path, reader)
    while True:
        origin = Origin(str(path), reader.line_num + 1)
        lines.valid = True
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error) or "field larger" in str(error):
                raise DataError(
                    f'{origin}: a quote that opens in this row is never closed; write "" for a quote in a cell'
                ) from None
            yield BadRow(origin, f'broken CSV: {error}; a quote inside a quoted cell is written ""')
            continue
        if not cells:
            continue
        if not lines.valid:
            yield BadRow(origin, "not valid UTF-8")
        elif len(cells) != len(header):
            yield BadRow(origin, f"{len(cells)} cells, but the header names {len(header)} columns")
        else:
            yield Row(dict(zip(header, cells, strict=True)), origin)


def _read_header(path: Path, reader: Any) -> list[str]:
    try:
        header = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise DataError(f"{path}:1: the header can't be read: {error}") from None
    if not header:
        raise DataError(f"{path}:1: the file is empty; the first line of a CSV file names the columns")
    if header[0].lstrip().startswith(("{", "[{")):
        raise DataError(
            f"{path}:1: this is JSON, though the file's name says CSV; rename it to {path.with_suffix('.jsonl').name}"
        )
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"{path}:1: the header names the column {twice[0]!r} twice; rename one of them")
    return header


def _read_jsonl(path: Path) -> Rows:
    is_first = True
    for number, text, valid in _read_lines(path):
        if not text.strip():
            continue
        origin = Origin(str(path), number)
        if not valid:
            yield BadRow(origin, "not valid UTF-8")
            continue
        try:
            value = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            if is_first:
                _refuse_other_format(path, number, text)
            yield BadRow(origin, f"broken JSON: {_json_problem(error)}")
            continue
        finally:
            is_first = False
        yield from _rows_of(value, origin)


def _json_problem(error: Exception) -> str:
    return (
        f"{error.msg.removesuffix(' at')} at column {error.colno}"
        if isinstance(error, json.JSONDecodeError)
        else "nested too deeply"
    )


def _refuse_other_format(path: Path, number: int, text: str) -> None:
    """The first line isn't JSON: say so if the whole file looks like something else."""
    start = text.strip()
    if start in ("[", "{") or (start.startswith("[") and start.endswith(",")):
        raise DataError(
            f"{path}:{number}: this is one JSON value over several lines, not one object a line; "
            f"rename the file to {path.with_suffix('.json').name}"
        )
    if start[0] not in "{[":
        raise DataError(
            f"{path}:{number}: not JSON: {start[:60]!r}. A .jsonl file has one JSON object a line; "
            f"if this is CSV, rename the file to {path.with_suffix('.csv').name}"
        )


def _read_json(path: Path) -> Rows:
    for number, value in read_json_values(path):
        yield from _rows_of(value, Origin(str(path), number))


def _rows_of(value: Any, origin: Origin) -> Rows:
    """One JSON value: an object is a row; a bare list is a conversation, or texts."""
    if isinstance(value, dict):
        yield Row(value, origin)
    elif not isinstance(value, list) or not value:
        yield BadRow(origin, f"expected a JSON object, found {_kind(value)}")
    elif all(isinstance(item, dict) and set(item) == {"text"} for item in value):
        for item in value:
            yield Row({BARE: item["text"]}, origin)
    else:
        yield Row({BARE: value}, origin)


def _kind(value: Any) -> str:
    names = {list: "an empty list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _read_parquet(path: Path) -> Rows:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
            for cells in batch.to_pylist():
                number += 1
                yield Row(cells, Origin(str(path), number))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}:1: this can't be read as Parquet: {error}") from None


def _read_txt(path: Path) -> Rows:
    for number, text, valid in _read_lines(path):
        if not text.strip():
            continue
        origin = Origin(str(path), number)
        yield Row({"text": text.rstrip("\r\n")}, origin) if valid else BadRow(origin, "not valid UTF-8")


# In the order in which they are looked for.
READERS: MappingProxyType[str, Callable[[Path], Rows]] = MappingProxyType(
    {".csv": _read_csv, ".jsonl": _read_jsonl, ".json": _read_json, ".parquet": _read_parquet, ".txt": _read_txt}
)
