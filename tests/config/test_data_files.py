"""Names of data files are told without the readers, and are the readers' names."""

from pathlib import Path

import pytest

from autotrain.config.data_files import SUFFIXES, is_local
from autotrain.data.read import READERS


def test_names_that_are_looked_for_are_those_that_can_be_read_in_the_same_order():
    assert tuple(READERS) == SUFFIXES


def test_what_lies_on_a_disk_is_told_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows").mkdir()
    local = ("rows", "./gone", "/data/gone", "~/gone", "gone.csv", "a/b/c")
    assert [name for name in (*local, "squad", "some-org/squad") if is_local(name)] == list(local)
