"""The command, run as a user runs it: in a folder of its own, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MINIMAL = "task: llm-sft\nbase_model: gpt2\nproject_name: run\ndata:\n  path: rows.jsonl\n"

Autotrain = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the user stands: a folder with one sound config, c.yml."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "c.yml").write_text(MINIMAL)
    return folder


@pytest.fixture
def autotrain(folder: Path, tmp_path: Path) -> Autotrain:
    """Runs `autotrain ARGUMENTS` there; AUTOTRAIN_HOME is apart, and where the hub would be nobody answers."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    clean["HF_ENDPOINT"] = "http://127.0.0.1:9"

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "autotrain", *arguments],
            cwd=folder,
            env=clean | {"AUTOTRAIN_HOME": str(tmp_path / "home")} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    return run
