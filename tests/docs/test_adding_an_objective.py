"""The page that adds an objective is right: its file serves a trainer, and its test passes and can fail."""

import re
import sys
from pathlib import Path

import pytest

from autotrain import objectives

PAGE = Path(__file__).parents[2] / "docs" / "adding-an-objective.md"
FILE, TEST = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A second folder of objectives, which the registry looks into as well."""
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(tmp_path)])
    yield tmp_path
    sys.modules.pop("autotrain.objectives.rrhf", None)
    objectives.__dict__.pop("rrhf", None)


def run_its_tests() -> int:
    """How many there are; raises what they raise."""
    names: dict[str, object] = {}
    exec(compile(TEST, str(PAGE), "exec"), names)
    tests = [test for name, test in names.items() if name.startswith("test_") and callable(test)]
    for test in tests:
        test()
    return len(tests)


def test_the_method_of_the_page_is_none_of_ours():
    assert "rrhf" not in objectives.available()


def test_the_file_of_the_page_is_all_that_the_registry_needs(folder: Path):
    (folder / "rrhf.py").write_text(FILE, encoding="utf-8")
    assert objectives.available()["rrhf"] == "autotrain.objectives.rrhf"


def test_the_test_of_the_page_passes(folder: Path):
    (folder / "rrhf.py").write_text(FILE, encoding="utf-8")
    assert run_its_tests() == 5


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("losses.sum() / counts.examples", "losses.mean()"), ("rejected - chosen", "chosen - rejected")],
)
def test_the_test_of_the_page_can_fail(folder: Path, right: str, wrong: str):
    assert right in FILE
    (folder / "rrhf.py").write_text(FILE.replace(right, wrong), encoding="utf-8")
    with pytest.raises(AssertionError):
        run_its_tests()
