"""The wall: front doors never import torch, and answer in a blink."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate", "numpy", "pyarrow")
# The promise is 0.3 s; a busy machine gets some slack here.
MAX_CPU_SECONDS = 0.6
MODULES = [
    "autotrain.cli",
    "autotrain.params",
    "autotrain.project",
    "autotrain.runs",
    "autotrain.cli.llm",
    "autotrain.cli.dry_run",
    "autotrain.cli.launch",
]


def python(program: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("module", MODULES)
def test_importing_a_front_door_imports_nothing_heavy(module: str, tmp_path: Path):
    done = python(f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])", folder=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_the_whole_page_imports_nothing_heavy(tmp_path: Path):
    pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")
    program = (
        "import sys; from pathlib import Path; from autotrain.app.serve import build, build_state\n"
        "from autotrain.app.settings import Settings\n"
        "build(build_state(Settings(workspace=Path('workspace'), home=Path('home'))))\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = python(program, folder=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


ANSWERS = [
    (["--version"], 0),
    (["--help"], 0),
    ([], 1),
    (["llm", "--help"], 0),
    (["llm"], 2),
    (["setup"], 2),
    (["nosuch"], 2),
    (["llm", "--train", "--learning_rate", "1"], 2),
    (["--config", "bad.yml"], 2),
    (["--config", "space.yml"], 2),
    (["--config", "good.yml", "--dry-run"], 0),
    (["schema"], 0),
    (["launch", "--slurm", "--config", "good.yml"], 0),
    (["launch", "--slurm", "--config", "bad.yml"], 2),
]
GOOD = "task: llm-sft\nbase_model: gpt2\nproject_name: run\ndata: {path: d}\n"


@pytest.mark.parametrize(("typed", "code"), ANSWERS, ids=[" ".join(typed) for typed, _ in ANSWERS])
def test_defect_18_what_the_text_alone_decides_is_answered_at_once(tmp_path: Path, typed: list[str], code: int):
    (tmp_path / "good.yml").write_text(GOOD)
    (tmp_path / "space.yml").write_text(GOOD + "backend: spaces-t4-small\n")
    (tmp_path / "bad.yml").write_text(GOOD + "params: {learning_rate: 1, epochs: x}\n")
    program = (
        "import sys; from autotrain.cli import main; code = main(sys.argv[1:])\n"
        f"assert not [name for name in {HEAVY} if name in sys.modules]\nsys.exit(code)"
    )
    if typed[-1:] == ["--help"] and len(typed) > 1:  # argparse leaves by itself
        program = "import sys; from autotrain.cli import main; main(sys.argv[1:])"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = python(program, *typed, folder=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code, done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MAX_CPU_SECONDS
