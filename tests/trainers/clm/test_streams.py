"""A run whose output nobody reads any more goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRINTS = """\
import pathlib, sys
from autotrain.trainers.clm.streams import outlive_readers
outlive_readers()
from rich.console import Console
console = Console(file=sys.stdout)
print("ready", flush=True)
sys.stdin.readline()  # meanwhile the reader leaves
for number in range(3):
    console.print("step", number)
    print("note", number, file=sys.stderr)
    print("\\u6a21\\u578b", flush=True)
pathlib.Path("end.txt").touch()
"""


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_reader_that_leaves_ends_nothing(tmp_path: Path, unbuffered: str):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", PRINTS], cwd=tmp_path, stdin=subprocess.PIPE, stdout=writing, stderr=writing, env=environment
    )
    os.close(writing)
    assert os.read(reading, 100).startswith(b"ready")
    os.close(reading)
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0 and (tmp_path / "end.txt").exists()


def test_a_terminal_that_is_closed_ends_nothing(tmp_path: Path):
    reading, writing = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PRINTS], cwd=tmp_path, stdin=subprocess.PIPE, stdout=writing, stderr=writing
    )
    os.close(writing)
    assert b"ready" in os.read(reading, 100)
    os.close(reading)
    process.communicate(b"\n", timeout=60)
    assert process.returncode == 0 and (tmp_path / "end.txt").exists()


def test_what_the_terminal_cant_write_is_written_otherwise(tmp_path: Path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", PRINTS], cwd=tmp_path, input=b"\n", capture_output=True, env=environment, timeout=60
    )
    assert done.returncode == 0 and b"\\u6a21\\u578b" in done.stdout
