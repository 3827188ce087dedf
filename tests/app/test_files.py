"""What an installed page needs beside its Python files is installed with it."""

import tomllib
from pathlib import Path

import autotrain.app

APP = Path(autotrain.app.__file__).parent


def test_styles_and_scripts_are_in_the_package():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["autotrain.app"]
    packed = {file for pattern in patterns for file in APP.glob(pattern)}
    there = {file for file in APP.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
    assert there - packed == set()
