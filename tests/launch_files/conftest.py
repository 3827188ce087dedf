"""`autotrain launch`, as a user types it, in a folder with a config and local data."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autotrain.cli import main

CONFIG = """\
task: llm-sft
base_model: some-org/base-8b
project_name: my-model
data:
  path: {data}
params:
  peft: true
{more}"""

Launch = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user stands; its name holds what shells and schedulers read in their own ways."""
    folder = tmp_path / "a user's $HOME #1"
    (folder / "rows").mkdir(parents=True)
    (folder / "rows" / "train.jsonl").write_text('{"text": "Hello."}\n')
    (folder / "c.yml").write_text(CONFIG.format(data="./rows", more=""))
    (folder / "hub.yml").write_text(CONFIG.format(data="some-org/rows", more="hub: {push_to_hub: true, username: me}\n"))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return folder


@pytest.fixture
def launch(folder: Path, capsys: pytest.CaptureFixture[str]) -> Launch:
    """Types `autotrain launch ARGUMENTS`, expects the exit code, and returns what was printed: on failure, the error."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["launch", *arguments]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return run


@pytest.fixture(autouse=True)
def as_large_as_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job runs is looked at by a dry run here, where there are fewer processors than it asks for."""
    monkeypatch.setattr("autotrain.backends.machines.os.cpu_count", lambda: 64)
