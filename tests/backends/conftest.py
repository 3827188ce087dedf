"""A worker of a few lines in place of the real one, so that launching is tested without torch."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autotrain.backends import local, trial


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the backend start `program` instead; argv is [file, options...]."""
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def replace(program: str) -> None:
        script = tmp_path / "worker.py"
        script.write_text(program)

        def command(entry: str, parameters_file: str, options: object = ()) -> list[str]:
            assert isinstance(options, list)
            return [sys.executable, str(script), parameters_file, entry, *options]

        monkeypatch.setattr(local, "worker_command", command)

    return replace


@pytest.fixture
def data_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial of local data before a run in the cloud is a process that finds nothing wrong."""
    monkeypatch.setattr(trial, "worker_command", lambda *_: [sys.executable, "-S", "-c", ""])
