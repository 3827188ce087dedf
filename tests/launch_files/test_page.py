"""docs/launch-files.md shows what is generated today."""

import re
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "launch-files.md").read_text(encoding="utf-8")
CONFIG = next(text for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
COMMANDS = {
    target: line for line in re.findall(r"^autotrain launch .*$", PAGE, re.MULTILINE) for target in [line.split()[2]]
}


@pytest.mark.parametrize(
    ("target", "file"),
    [("--slurm", "sbatch"), ("--kubernetes", "kubernetes.yaml"), ("--skypilot", "skypilot.yaml")],
)
def test_the_page_shows_what_its_command_writes(
    launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, file: str
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    (tmp_path / "my-config.yml").write_text(CONFIG)
    (tmp_path / "my-data").mkdir()
    launch(*COMMANDS[target].split()[2:])
    made = (tmp_path / f"my-model.{file}").read_text().replace(str(tmp_path), "/shared/me")
    assert made in PAGE
