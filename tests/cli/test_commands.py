"""Help, version, lists: what the command answers by itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autotrain import __version__
from autotrain.cli import COMMANDS


def test_without_arguments_it_shows_its_help_and_fails(autotrain):
    done = autotrain()
    assert done.returncode == 1 and "usage: autotrain --config FILE_OR_URL" in done.stdout


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_command(autotrain, option: str):
    done = autotrain(option)
    assert done.returncode == 0
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("option", ["--version", "-v"])
def test_version(autotrain, option: str):
    done = autotrain(option)
    assert (done.returncode, done.stdout.strip()) == (0, __version__)


def test_every_command_has_its_module():
    source = Path(__file__).parents[2] / "src"
    for command in COMMANDS.values():
        assert (source / f"{command.module.replace('.', '/')}.py").is_file()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(autotrain, name: str):
    done = autotrain(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: autotrain {name}")


def test_help_of_llm_is_grouped_with_defaults_and_units(autotrain):
    text = autotrain("llm", "--help", COLUMNS="200").stdout
    assert "\nlengths:\n" in text and "\nhugging face hub:\n" in text
    assert "(default: 2048 tokens)" in text and "--peft, --no-peft" in text
    assert "--model_max_length" not in text  # the second spelling works, and isn't shown


def test_schema_prints_json_schema_and_markdown(autotrain):
    assert "lr" in json.loads(autotrain("schema").stdout)["properties"]
    assert autotrain("schema", "--markdown").stdout.startswith("# Parameters")


def test_a_reader_that_leaves_early_is_no_error(autotrain, folder: Path, tmp_path: Path):
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m autotrain schema | true"],
        cwd=folder,
        env={**os.environ, "AUTOTRAIN_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""


def test_the_list_of_runs_is_empty_at_first(autotrain):
    done = autotrain("runs")
    assert done.returncode == 0 and done.stdout.startswith("no runs yet")


def test_a_broken_registry_is_explained(autotrain, tmp_path: Path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "runs.db").write_bytes(b"this is no database, " * 100)
    done = autotrain("runs")
    assert done.returncode == 2 and "can't be read" in done.stderr and "set AUTOTRAIN_HOME" in done.stderr


def test_autotrain_advanced_beside_this_project_is_announced(autotrain, tmp_path: Path):
    metadata = tmp_path / "site" / "autotrain_advanced-0.8.36.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: autotrain-advanced\nVersion: 0.8.36\n")
    done = autotrain("llm", "--train", "--push-to-hub", PYTHONPATH=str(tmp_path / "site"))
    assert "note: autotrain-advanced 0.8.36 is installed beside this project" in done.stderr
