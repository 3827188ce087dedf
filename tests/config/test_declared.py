"""A folder is a registry: a new file is a new entry, and nothing is imported to find it."""

import sys
from pathlib import Path

import pytest

from autotrain.config.declared import declared_names
from autotrain.config.names import DOCUMENTED_BACKENDS, unavailable_backend, unavailable_trainer


def test_objectives_are_found_by_their_files():
    assert declared_names("autotrain.objectives")["sft"].startswith("autotrain.objectives.")


def test_a_new_file_is_a_new_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "shelf"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "one.py").write_text('raise RuntimeError("imported")\nNAMES = ("a", "b")\n')
    (package / "two.py").write_text('NAMES = (\n    "c",  # the third\n    "d",\n)\nOTHER = ("e",)\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert declared_names("shelf") == {"a": "shelf.one", "b": "shelf.one", "c": "shelf.two", "d": "shelf.two"}
    assert "shelf" not in sys.modules


def test_all_documented_backends_are_known():
    assert len(DOCUMENTED_BACKENDS) == 3 + 14 + 7 + 5 + 4
    assert unavailable_backend("local") is None
    assert "the nearest that is: spaces-a100-large, or local" in (unavailable_backend("dgx-8a100") or "")


def test_trainers_without_an_objective_are_unavailable():
    assert unavailable_trainer("sft") is None
    assert "not available in this version; available: " in (unavailable_trainer("nosuch") or "")
