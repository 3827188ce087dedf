"""Files become rows exactly, each with its line."""

import csv
import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autotrain.data.json_stream import CHUNK_BYTES
from autotrain.data.read import BARE, BadRow, read_rows
from autotrain.errors import DataError
from autotrain.types import Row


def rows_of(path: Path) -> list[tuple[int, dict[str, Any]]]:
    return [(row.origin.line, dict(row.cells)) for row in read_rows(path) if isinstance(row, Row)]


def bad_of(path: Path) -> list[tuple[int, str]]:
    return [(row.origin.line, row.problem) for row in read_rows(path) if isinstance(row, BadRow)]


def test_csv_cells_stay_what_they_are(write):
    path = write("a.csv", "text,label\n001,NA\n1e5,null\n True ,\n")
    assert rows_of(path) == [
        (2, {"text": "001", "label": "NA"}),
        (3, {"text": "1e5", "label": "null"}),
        (4, {"text": " True ", "label": ""}),
    ]


def test_jsonl_strings_stay_strings_and_numbers_numbers(write):
    path = write("a.jsonl", '{"text": "001", "n": 1}\n\n{"text": "NA", "n": null}\n')
    assert rows_of(path) == [(1, {"text": "001", "n": 1}), (3, {"text": "NA", "n": None})]


def test_csv_record_over_several_lines_is_named_by_its_first_line(write):
    path = write("a.csv", 'text\n"one\ntwo\nthree"\nfour\n')
    assert rows_of(path) == [(2, {"text": "one\ntwo\nthree"}), (5, {"text": "four"})]


def test_csv_byte_order_mark_isnt_part_of_the_first_column(write):
    assert rows_of(write("a.csv", b"\xef\xbb\xbftext\nhi\n")) == [(2, {"text": "hi"})]


def test_csv_ragged_rows_are_bad_rows_with_their_line(write):
    path = write("a.csv", "text,label\nonly one\na,b,c\nfine,x\n")
    assert [line for line, _ in bad_of(path)] == [2, 3]
    assert "1 cells, but the header names 2 columns" in bad_of(path)[0][1]
    assert rows_of(path) == [(4, {"text": "fine", "label": "x"})]


def test_csv_quote_that_never_closes_doesnt_swallow_the_file(write):
    path = write("a.csv", 'text\nfine\n"never closed\nmore\nmore\n')
    with pytest.raises(DataError, match=r"a\.csv:3: a quote that opens in this row is never closed"):
        rows_of(path)


def test_csv_with_a_column_twice_is_refused(write):
    with pytest.raises(DataError, match=r"names the column 'text' twice"):
        rows_of(write("a.csv", "text,text\na,b\n"))


def test_csv_cells_of_megabytes_are_read_whole(write):
    long = "x" * 300_000
    assert rows_of(write("a.csv", f"text\n{long}\n")) == [(2, {"text": long})]


def test_bad_utf8_is_named_by_line(write):
    assert bad_of(write("a.csv", b"text\nfine\n\xff\xfe\n")) == [(3, "not valid UTF-8")]
    assert bad_of(write("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n')) == [(2, "not valid UTF-8")]
    assert bad_of(write("a.txt", b"fine\n\xe9\n")) == [(2, "not valid UTF-8")]
    with pytest.raises(DataError, match=r"a\.json:3: not valid UTF-8"):
        rows_of(write("a.json", b'[\n{"text": "a"},\n{"text": "\xe9"}]'))


def test_utf16_is_named_as_such(write):
    with pytest.raises(DataError, match=r"a\.csv:1: the file is UTF-16; save it as UTF-8"):
        rows_of(write("a.csv", "text\nhi\n".encode("utf-16")))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.txt", "a.parquet"])
def test_empty_file_is_refused(write, name):
    with pytest.raises(DataError, match=r":1: the file is empty"):
        rows_of(write(name, ""))


def test_issue_140_jsonl_named_csv_says_so(write):
    with pytest.raises(DataError, match=r"a\.csv:1: this is JSON, though .* rename it to a\.jsonl"):
        rows_of(write("a.csv", '{"text": "a"}\n{"text": "b"}\n'))


def test_csv_named_jsonl_says_so(write):
    with pytest.raises(DataError, match=r"a\.jsonl:1: not JSON: 'text,label'.*rename the file to a\.csv"):
        rows_of(write("a.jsonl", "text,label\na,b\n"))


def test_json_array_named_jsonl_says_so(write):
    with pytest.raises(DataError, match=r"a\.jsonl:1: this is one JSON value over several lines.*a\.json"):
        rows_of(write("a.jsonl", '[\n{"text": "a"}\n]\n'))


def test_broken_json_line_is_a_bad_row_with_its_line(write):
    path = write("a.jsonl", '{"text": "a"}\n{"text": "b"\n{"text": "c"}\n17\n')
    assert [line for line, _ in bad_of(path)] == [2, 4]
    assert "broken JSON" in bad_of(path)[0][1]
    assert [line for line, _ in rows_of(path)] == [1, 3]


def test_unicode_line_separators_dont_end_a_json_line(write):
    text = json.dumps({"text": "a\u2028b\u0085c"}, ensure_ascii=False) + "\n"
    assert rows_of(write("a.jsonl", text)) == [(1, {"text": "a\u2028b\u0085c"})]


def test_bare_lists_are_conversations_or_texts(write):
    turns = [{"content": "q", "role": "user"}, {"content": "a", "role": "assistant"}]
    path = write("a.jsonl", [turns, [{"text": "one"}, {"text": "two"}]])
    assert rows_of(path) == [(1, {BARE: turns}), (2, {BARE: "one"}), (2, {BARE: "two"})]


def test_json_array_and_objects_in_sequence_are_read_alike(write):
    rows = [{"text": "a"}, {"text": "b"}]
    assert rows_of(write("a.json", json.dumps(rows, indent=2))) == [(2, rows[0]), (5, rows[1])]
    assert rows_of(write("b.json", rows)) == [(1, rows[0]), (2, rows[1])]
    assert rows_of(write("c.json", "[]")) == []


def test_json_rows_longer_than_a_chunk_are_whole(write):
    rows = [{"text": "x" * (CHUNK_BYTES * 3)}, {"text": "é" * CHUNK_BYTES}, {"text": "end"}]
    path = write("a.json", json.dumps(rows, ensure_ascii=False))
    assert [cells for _, cells in rows_of(path)] == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"text": "a"},\n{"text" "b"}]', r"a\.json:2: broken JSON: Expecting ':'"),
        ('[{"text": "a"}\n{"text": "b"}]', r"a\.json:2: broken JSON: expected , or \]"),
        ('[{"text": "a"},\n{"text": "b"}\n', r"the list of rows has no closing \]; the file may be cut off"),
        ('[{"text": "a"}]\n[{"text": "b"}]', r"a\.json:2: broken JSON: something follows"),
        ('[{"text": "a"},\n{"text": "b', r"a\.json:2: broken JSON: Unterminated string"),
    ],
)
def test_broken_json_names_file_and_line(write, text, message):
    with pytest.raises(DataError, match=message):
        rows_of(write("a.json", text))


def test_txt_has_one_row_per_line_that_isnt_empty(write):
    assert rows_of(write("a.txt", "one\r\n\n  two \n")) == [(1, {"text": "one"}), (3, {"text": "  two "})]


def test_parquet_rows_are_numbered(tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"text": ["001", None], "messages": [[{"role": "user", "content": "q"}], []]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert rows_of(tmp_path / "a.parquet") == [
        (1, {"text": "001", "messages": [{"role": "user", "content": "q"}]}),
        (2, {"text": None, "messages": []}),
    ]


def test_broken_parquet_is_refused(write):
    with pytest.raises(DataError, match=r"can't be read as Parquet"):
        rows_of(write("a.parquet", "no parquet"))


cell = st.text(alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(cell, cell), min_size=1, max_size=6))
def test_csv_round_trip(tmp_path, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("text", "label"), *rows])
    path = tmp_path / "round.csv"
    path.write_bytes(text.getvalue().encode())
    assert [tuple(cells.values()) for _, cells in rows_of(path)] == rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.dictionaries(cell, st.one_of(cell, st.integers(), st.none(), st.lists(cell))), max_size=6))
def test_json_round_trip(tmp_path, rows):
    path = tmp_path / "round.json"
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
    assert [cells for _, cells in rows_of(path)] == rows


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json"])
def test_defect_16_memory_stays_flat_however_many_rows(tmp_path, suffix):
    path = tmp_path / f"big.{suffix}"
    row = {"text": "x" * 500}
    with path.open("w", encoding="utf-8") as file:
        if suffix == "csv":
            file.write("text\n" + f"{row['text']}\n" * 200_000)
        elif suffix == "jsonl":
            file.write((json.dumps(row) + "\n") * 200_000)
        else:
            file.write("[" + ",\n".join([json.dumps(row)] * 200_000) + "]")
    tracemalloc.start()
    assert sum(1 for _ in read_rows(path)) == 200_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6  # of a file of 100 MB
