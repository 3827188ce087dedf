"""Files as hurried people drop them: taken by what they hold, made readable, or refused with what to do."""

import asyncio
import csv
import errno
import io
import json
import os
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autotrain.app.uploads import DataSet, Datasets, Note, Refused
from autotrain.app.workspace import Workspace
from autotrain.data.read import Row, read_rows

ROWS = [
    {"question": "红色是什么？", "answer": "一种颜色。"},
    {"question": "Is it, so?", "answer": 'He said "yes"\nand left'},
]
LIMIT = 4_000_000


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    return Datasets(Workspace(tmp_path), LIMIT)


async def pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65_536):
        yield body[start : start + 65_536]


def drop(datasets: Datasets, name: str, body: bytes, to: str | None = None) -> DataSet:
    return asyncio.run(datasets.take(name, pieces(body), to))


def rows_of(dataset: DataSet, split: str = "train") -> list[dict[str, object]]:
    file = dataset.folder / f"{split}.{dataset.files[split].kind}"
    return [dict(row.cells) for row in read_rows(file) if isinstance(row, Row)]


def table(rows: list[dict[str, str]], separator: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], delimiter=separator, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "body", "kind", "notes"),
    [
        ("a.csv", table(ROWS).encode(), "csv", []),
        ("a.csv", table(ROWS).encode("utf-8-sig"), "csv", []),
        ("a.csv", table(ROWS, ";").encode(), "csv", ["separator"]),
        ("a.csv", ("sep=;\r\n" + table(ROWS, ";")).encode(), "csv", ["separator"]),
        ("a.tsv", table(ROWS, "\t").encode(), "csv", ["separator"]),
        ("Unicode Text.txt", table(ROWS, "\t").encode("utf-16"), "csv", ["recoded", "separator"]),
        ("a.csv", table(ROWS).encode("gb18030"), "csv", ["recoded"]),
        ("a.csv", table(ROWS).encode("utf-16-le"), "csv", ["recoded"]),
        ("a.csv", LINES.encode(), "jsonl", []),
        ("a.txt", LINES.encode(), "jsonl", []),
        ("noname", LINES.encode("utf-8-sig"), "jsonl", []),
        ("a.json", LINES.encode(), "jsonl", []),
        ("a.jsonl", json.dumps(ROWS).encode(), "json", []),
        ("a.csv", json.dumps(ROWS, indent=2).encode(), "json", []),
        ("a.json", json.dumps({"version": 1, "data": ROWS}).encode(), "json", ["unwrapped"]),
    ],
)
def test_whatever_it_is_called_and_however_it_is_written_the_rows_are_the_same(
    datasets: Datasets, name: str, body: bytes, kind: str, notes: list[str]
):
    dataset = drop(datasets, name, body)
    assert (dataset.files["train"].kind, [note.key for note in dataset.files["train"].notes]) == (kind, notes)
    found = [{key: str(value).replace("\r\n", "\n") for key, value in row.items()} for row in rows_of(dataset)]
    assert found == ROWS
    assert datasets.find(dataset.identity) == dataset


def test_parquet_is_known_by_its_first_bytes(datasets: Datasets, tmp_path: Path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "x")
    body = (tmp_path / "x").read_bytes()
    dataset = drop(datasets, "table.csv", body)
    assert dataset.files["train"].kind == "parquet"
    assert rows_of(dataset) == ROWS
    with pytest.raises(Refused, match="cut_off"):
        drop(datasets, "table.parquet", body[: len(body) // 2])


def zipped(*names: str) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return body.getvalue()


@pytest.mark.parametrize(
    ("name", "body", "key"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"\xef\xbb\xbf \r\n\r\n", "empty"),
        ("a.csv", b"%PDF-1.7\n%\xe2\xe3", "pdf"),
        ("a.csv", zipped("xl/workbook.xml", "[Content_Types].xml"), "excel"),
        ("a.csv", zipped("word/document.xml"), "document"),
        ("a.jsonl", zipped("a.jsonl"), "packed"),
        ("a.jsonl", b"\x1f\x8b\x08\x00", "packed"),
        ("a.csv", b"\x89PNG\r\n\x1a\n", "picture"),
        ("a.csv", b"\x7fELF\x02\x01", "binary"),
        ("a.txt", bytes(range(256)) * 40, "binary"),
        ("a.jsonl", b"<!DOCTYPE html>\n<html><body>404</body></html>", "web_page"),
        ("a.jsonl", b"hello there\nhow are you\n", "not_json"),
        ("a.csv", b"only this\n", "one_line"),
    ],
)
def test_what_cannot_be_data_is_refused_with_its_reason_and_leaves_nothing(
    datasets: Datasets, tmp_path: Path, name: str, body: bytes, key: str
):
    with pytest.raises(Refused) as refused:
        drop(datasets, name, body)
    assert refused.value.key == key
    assert len(refused.value.text) > 20
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_text_is_a_text_and_a_chinese_name_stays(datasets: Datasets):
    dataset = drop(datasets, "我的文章.txt", "第一行。\n第二行，有逗号。\n".encode())
    assert (dataset.name, dataset.files["train"].kind) == ("我的文章.txt", "txt")
    assert rows_of(dataset) == [{"text": "第一行。"}, {"text": "第二行，有逗号。"}]


def test_a_few_broken_bytes_do_not_make_it_another_encoding(datasets: Datasets):
    body = ("text\n" + "中文一行\n" * 50).encode() + b"bad \xff\xfe line\n"
    dataset = drop(datasets, "a.csv", body)
    assert dataset.files["train"].notes == ()
    assert len(rows_of(dataset)) == 50


def test_western_accents_are_not_taken_for_chinese(datasets: Datasets):
    dataset = drop(datasets, "a.csv", "text,n\nUn café très réputé à Genève,1\nL'été dernier déjà,2\n".encode("cp1252"))
    assert rows_of(dataset)[0]["text"] == "Un café très réputé à Genève"


def test_rows_keep_their_lines_when_a_file_is_rewritten(datasets: Datasets):
    body = b'sep=;\r\nquestion;answer\r\n"two\r\nlines";a\r\n\r\nlast;b;;\r\n'
    dataset = drop(datasets, "a.csv", body)
    rows = [row for row in read_rows(dataset.folder / "train.csv") if isinstance(row, Row)]
    assert [(row.origin.line, row.cells["answer"]) for row in rows] == [(3, "a"), (6, "b")]


def test_columns_without_a_name_get_one(datasets: Datasets):
    dataset = drop(datasets, "a.csv", b"question, answer ,answer,,\na,b,c,,\n")
    assert [note.key for note in dataset.files["train"].notes] == ["columns_named"]
    assert rows_of(dataset) == [{"question": "a", "answer": "b", "answer 2": "c"}]


def test_a_first_line_of_sentences_is_a_row(datasets: Datasets):
    dataset = drop(datasets, "a.csv", "天空是什么颜色？,蓝色。\n草呢？,绿色。\n".encode())
    assert [note.key for note in dataset.files["train"].notes] == ["no_header"]
    assert rows_of(dataset)[0] == {"column 1": "天空是什么颜色？", "column 2": "蓝色。"}
    assert len(rows_of(dataset)) == 2


def test_what_is_said_of_a_file_can_be_said_in_both_languages(datasets: Datasets):
    dataset = drop(datasets, "a.csv", ("sep=;\n" + table(ROWS, ";")).encode("utf-16"))
    for note in (*dataset.files["train"].notes, Note("unwrapped", {"inside": "data"}), Note("no_header", {"names": "a"})):
        assert note.text


@pytest.mark.parametrize("name", ["../../etc/passwd.csv", "..\\..\\x.csv", "/abs/x.csv", "a\0b\n.csv", "..", ""])
def test_a_name_is_never_a_path(datasets: Datasets, tmp_path: Path, name: str):
    dataset = drop(datasets, name, b"a,b\n1,2\n")
    assert dataset.folder.parent == tmp_path / "datasets"
    assert sorted(path.name for path in dataset.folder.iterdir()) == ["about.json", "train.csv"]
    assert not set("/\\\0\n") & set(dataset.name)


@pytest.mark.parametrize("identity", ["..", "../x", "0123456789abcdeg", "", "0" * 15, "0" * 16])
def test_only_names_of_our_own_are_looked_for(datasets: Datasets, identity: str):
    with pytest.raises(Refused, match="unknown"):
        datasets.find(identity)


def test_what_is_too_large_is_cut_off_and_deleted(datasets: Datasets, tmp_path: Path):
    with pytest.raises(Refused, match="too_large"):
        drop(datasets, "a.csv", b"text\n" + b"x" * LIMIT)
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("autotrain.app.uploads.datasets.mend", full)
        with pytest.raises(Refused, match="disk_full"):
            drop(datasets, "a.csv", table(ROWS).encode())
    assert list((tmp_path / "datasets").iterdir()) == []
    dataset = drop(datasets, "a.csv", table(MANY).encode())
    monkeypatch.setattr("autotrain.app.uploads.datasets.hold_back", full)
    assert datasets.hold_back(dataset.identity) == dataset
    assert len(rows_of(dataset)) == len(MANY) and sorted(one.name for one in dataset.folder.iterdir()) == [
        "about.json",
        "train.csv",
    ]


def test_what_a_killed_server_left_is_deleted_and_what_still_comes_isnt(datasets: Datasets, tmp_path: Path):
    left, coming, foreign = ((tmp_path / "datasets" / name) for name in ("a" * 16, "b" * 16, "mine"))
    for folder in (left, coming, foreign):
        folder.mkdir(parents=True)
        (folder / "part-01").write_text("half of a fi")
    for folder in (left, foreign):
        os.utime(folder / "part-01", (1, 1))
    drop(datasets, "a.csv", table(ROWS).encode())
    assert (left.exists(), coming.exists(), foreign.exists()) == (False, True, True)


def test_a_validation_file_lies_beside_and_can_be_taken_away(datasets: Datasets):
    dataset = drop(datasets, "a.csv", b"a,b\n1,2\n")
    both = drop(datasets, "v.jsonl", b'{"a": 3, "b": 4}\n{"a": 5, "b": 6}\n', dataset.identity)
    assert both.has_valid
    assert rows_of(both, "valid")[0] == {"a": 3, "b": 4}
    with pytest.raises(Refused):
        drop(datasets, "v.csv", b"%PDF", dataset.identity)
    assert datasets.find(dataset.identity) == both  # a file that was refused takes nothing away
    assert not datasets.drop_valid(dataset.identity).has_valid
    datasets.remove(dataset.identity)
    assert datasets.all() == []


MANY = [
    {"question": f"问 {number}\nand more" if number % 7 == 0 else f"问 {number}", "answer": f"答 {number}"}
    for number in range(120)
]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_rows_that_are_held_back_are_in_one_file_only_and_keep_their_lines(datasets: Datasets, kind: str):
    body = {
        "csv": table(MANY),
        "jsonl": "".join(json.dumps(row) + "\n" for row in MANY),
        "json": json.dumps(MANY),
    }[kind]
    before = drop(datasets, f"many.{kind}", body.encode())
    whole = (before.folder / f"train.{kind}").read_bytes()
    lines = {
        str(row.cells["answer"]): row.origin.line
        for row in read_rows(before.folder / f"train.{kind}")
        if isinstance(row, Row)
    }
    both = datasets.hold_back(before.identity)
    train, valid = ([row["answer"] for row in rows_of(both, split)] for split in ("train", "valid"))
    assert len(valid) == both.held_back == 12  # a tenth of 120
    assert sorted([*train, *valid]) == sorted(row["answer"] for row in MANY)
    if kind != "json":
        for split in ("train", "valid"):
            after = [row for row in read_rows(both.folder / f"{split}.{kind}") if isinstance(row, Row)]
            assert [lines[str(row.cells["answer"])] for row in after] == [row.origin.line for row in after]
    assert datasets.find(both.identity) == both
    assert datasets.drop_valid(both.identity) == before
    assert (before.folder / f"train.{kind}").read_bytes() == whole


def test_few_rows_are_all_trained_on_and_a_file_of_its_own_takes_the_place_of_those_held_back(datasets: Datasets):
    few = drop(datasets, "few.csv", table(MANY[:40]).encode())
    assert datasets.hold_back(few.identity) == few
    both = datasets.hold_back(drop(datasets, "many.csv", table(MANY).encode()).identity)
    own = drop(datasets, "own.csv", table(MANY[:3]).encode(), both.identity)
    assert (own.held_back, len(rows_of(own)), len(rows_of(own, "valid"))) == (0, 120, 3)


def test_messages_name_the_users_files(datasets: Datasets):
    dataset = drop(datasets, "mine.csv", b"a,b\n1,2\n")
    assert dataset.with_own_names(f"{dataset.folder}/train.csv:2: 1 cells") == "mine.csv:2: 1 cells"
