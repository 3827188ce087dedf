"""A config comes from a file or an address; what can't be read is refused with its place."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from autotrain.config import document
from autotrain.config.document import parse_document, read_document
from autotrain.errors import ConfigError

# Nine lines that stand for a billion values.
_TENS = (f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]" for before, after in pairwise("abcdefghi"))
ALIASES = "\n".join(["a: &a [x, x, x, x, x, x, x, x, x, x]", *_TENS]).encode()

BAD_FILES = [
    ("c.yml", b"", "the file is empty; it needs at least task"),
    ("c.yml", b"# only a comment\n", "the file is empty"),
    ("c.json", b" ", "the file is empty"),
    ("c.yml", b"- a\n- b\n", "a config is a mapping of keys to values (key: value), this is a list"),
    ("c.yml", b"llm", "this is a single value ('llm')"),
    ("c.yml", b"a: 1\nb: [1, 2\nc: 3\n", "c.yml:3: not valid YAML"),
    ("c.yml", b"a: 1\nb:\n\tc: 2\n", "c.yml:3: not valid YAML"),
    ("c.yml", b"a: 1\nb:\n\tc: 2\n", "indent with spaces"),
    ("c.yml", b"a: 1\nb: 2\na: 3\n", "c.yml:3: the key 'a' is given twice (first in line 1); keep one"),
    ("c.yml", b"p:\n  x: 1\n  x: 2\n", "c.yml:3: the key 'x' is given twice"),
    ("c.yml", b"a: 1\n---\na: 2\n", "not valid YAML"),
    ("c.yml", b"a: !!python/object/apply:os.system [ls]\n", "not valid YAML"),
    ("c.yml", b"a: \xff\xfe\n", "byte 3 isn't UTF-8 text"),
    ("c.yml", b"a: \x00\n", "not valid YAML"),
    ("c.yml", b"[" * 50_000, "nested too deep"),
    ("c.yml", ALIASES, "too large with its aliases (*name) written out"),
    ("c.yml", b"a: &a {b: [*a]}\n", "too large with its aliases"),
    ("c.yml", b"<!DOCTYPE html>\n", "this is a web page, not a config"),
    ("c.json", b'{"a": 1,\n "b": }', "c.json:2: not valid JSON"),
    ("c.json", b'{"a": 1, "a": 2}', "the key 'a' is given twice"),
    ("c.json", b"[1]", "this is a list"),
    ("c.txt", b"a: 1", "a config file ends in .yml, .yaml, .json"),
    ("c.yml", b"#" * (document.MAX_BYTES + 1), "larger than 1000 kB"),
]


@pytest.mark.parametrize(("name", "content", "expected"), BAD_FILES, ids=[expected for _, _, expected in BAD_FILES])
def test_what_is_no_config_is_refused(tmp_path: Path, name: str, content: bytes, expected: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_document(str(tmp_path / name))
    assert expected in str(caught.value)
    assert str(caught.value).count(str(tmp_path / name)) == 1


def test_a_missing_file_names_its_neighbours(tmp_path: Path):
    (tmp_path / "there.yaml").touch()
    with pytest.raises(ConfigError, match=r"no such file .*; there are: there\.yaml"):
        read_document(str(tmp_path / "here.yml"))
    with pytest.raises(ConfigError, match="the folder doesn't exist either"):
        read_document(str(tmp_path / "no" / "here.yml"))


def test_a_folder_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="this is a folder"):
        read_document(str(tmp_path))


@pytest.mark.parametrize("name", ["Any Name.YML", "ä.yaml", "c.json"])
def test_any_name_will_do(tmp_path: Path, name: str):
    (tmp_path / name).write_text('{"a": {"b": 1}}', encoding="utf-8")
    assert read_document(str(tmp_path / name)).values == {"a": {"b": 1}}


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path):
    (tmp_path / "c.yml").write_bytes("\ufefftask: llm\n".encode())
    assert read_document(str(tmp_path / "c.yml")).values == {"task": "llm"}


def test_keys_know_their_lines(tmp_path: Path):
    (tmp_path / "c.yml").write_text("# head\na: 1\nb:\n  c:\n    d: 2\n")
    found = read_document(str(tmp_path / "c.yml"))
    assert found.lines == {("a",): 2, ("b",): 3, ("b", "c"): 4, ("b", "c", "d"): 5}
    assert found.at(("b", "c")).endswith("c.yml:4")
    assert found.at(("x",)).endswith("c.yml")


def test_anchors_and_merge_keys_work(tmp_path: Path):
    (tmp_path / "c.yml").write_text("base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\n")
    assert read_document(str(tmp_path / "c.yml")).values["mine"] == {"x": 1, "y": 3}


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pages = {
            "/ok.yml": (200, b"task: llm\n"),
            "/page": (200, b"<html></html>"),
            "/big": (200, b"#" * (document.MAX_BYTES + 5)),
        }
        status, body = pages.get(self.path, (404, b"nothing here"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_address_is_fetched(address: str):
    found = read_document(f"{address}/ok.yml")
    assert found.values == {"task": "llm"} and found.at(("task",)) == f"{address}/ok.yml:1"


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/no.yml", "the server answered 404"), ("/page", "this is a web page"), ("/big", "larger than 1000 kB")],
)
def test_an_address_without_a_config_is_refused(address: str, path: str, expected: str):
    with pytest.raises(ConfigError) as caught:
        read_document(address + path)
    assert expected in str(caught.value) and address + path in str(caught.value)


def test_an_unreachable_address_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(ConfigError, match=r"can't be fetched: .*; check the address and the network"):
        read_document("http://127.0.0.1:9/c.yml")


def test_a_few_aliases_are_taken(tmp_path: Path):
    (tmp_path / "c.yml").write_text("a: &mine {x: 1}\nb: *mine\nc: {<<: *mine, y: 2}\n")
    assert read_document(str(tmp_path / "c.yml")).values == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


def test_a_text_that_is_no_file_is_bounded_too():
    with pytest.raises(ConfigError, match="config: larger than 1000 kB"):
        parse_document("#" * (document.MAX_BYTES + 1), "config")
