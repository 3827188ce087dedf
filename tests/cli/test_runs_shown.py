"""The list of runs on terminals of any width."""

import unicodedata
from pathlib import Path

import pytest

from autotrain.cli.runs_shown import run_table
from autotrain.runs import Entry, Run

PLACE = Path("/home/somebody/projects/language-models/experiments/2026/november/my-run")


def a_run(name: str = "my-run", folder: Path = PLACE) -> Run:
    return Run(Entry(1, name, folder, 0.0, "local", 1), "interrupted", 4, 4800, 2.25)


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def test_a_pipe_gets_everything_whole():
    assert str(PLACE) in run_table([a_run()], None)


@pytest.mark.parametrize("width", [60, 80, 100])
@pytest.mark.parametrize("name", ["my-run", "a-very-long-name-of-a-run-that-somebody-thought-of", "\u6a21\u578b" * 15])
def test_a_line_fits_the_terminal_and_keeps_the_end_of_the_place(name: str, width: int):
    header, line = run_table([a_run(name)], width).splitlines()
    assert columns(line) <= width and columns(header) <= width
    assert line.endswith("my-run") and "interrupted" in line and "4/4800" in line


def test_a_terminal_that_is_wide_enough_loses_nothing():
    assert run_table([a_run()], 200) == run_table([a_run()], None)


def test_the_narrowest_terminal_still_gets_number_and_stage():
    assert run_table([a_run()], 20).splitlines()[1].startswith("1   my-run  interrupted  ")


def test_wide_characters_keep_the_columns_straight():
    first, second = run_table([a_run("\u6a21\u578b"), a_run("four")], None).splitlines()[1:]
    assert columns(first[: first.index("interrupted")]) == columns(second[: second.index("interrupted")])


def test_a_name_sends_nothing_to_the_terminal():
    assert "\x1b" not in run_table([a_run(folder=Path("/a\x1b[31m\nb"))], None)
