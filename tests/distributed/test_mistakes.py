"""What two machines are told when their commands don't go together; both stand on this one."""

import signal
import socket
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from command import SECONDS, Run
from ports import free_port
from tests_of_ranks import job

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own


@pytest.fixture
def port() -> int:
    """Where the machines meet."""
    return free_port()


@pytest.fixture
def begin(port: int, rows_folder: Path, tiny_model: Path, tmp_path: Path) -> Generator[Callable[..., Run]]:
    """Start the command of one machine."""
    runs: list[Run] = []

    def start(machine: int, *options: str, **changes: Any) -> Run:
        params = job("sft", "apart", rows_folder, tiny_model, devices=2, peft=True, num_sample_prompts=0)["params"]
        params |= {"mixed_precision": "none", "lora_dropout": None, "max_prompt_length": None, **changes}
        folder = tmp_path / f"machine-{len(runs)}"
        folder.mkdir()
        meeting = ("--nodes", "2", "--node-rank", str(machine), "--master", f"127.0.0.1:{port}")
        runs.append(Run(folder, params, *meeting, *options))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()


def wait_until_open(port: int, run: Run) -> None:
    """It says that it meets the others some moments before they can."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
            return
        except OSError:
            assert run.process.poll() is None and time.monotonic() < end, run.said[-2000:]
            time.sleep(0.1)


def end(*runs: Run) -> list[int]:
    return [run.process.wait(SECONDS) for run in runs]


def test_another_learning_rate_on_one_machine_is_refused_on_both(begin: Callable[..., Run]) -> None:
    """Each would have stepped by its own, and the weights would have parted in silence."""
    first, second = begin(0), begin(1, lr=3e-3)
    assert end(first, second) == [2, 2], first.said[-2000:] + second.said[-2000:]
    for run in (first, second):
        assert run.said.count("error: lr: 0.003 for process 1, 0.002 for process 0; all machines need the same config") == 1
        assert not run.project.exists()


def test_another_project_name_on_one_machine_is_only_a_name(begin: Callable[..., Run]) -> None:
    """The machines waited for each other without end."""
    first, second = begin(0), begin(1, project_name="elsewhere")
    assert end(first, second) == [0, 0], first.said[-2000:] + second.said[-2000:]
    assert not second.project.exists()


@pytest.mark.parametrize("machine", [0, 1])
def test_a_mistake_that_one_machine_makes_is_told_on_both_within_seconds(begin: Callable[..., Run], machine: int) -> None:
    """torchrun's agents wait five minutes for each other's goodbye."""
    began = time.monotonic()
    wrong, right = begin(machine, text_column="nope"), begin(1 - machine)
    assert end(wrong, right) == [2, 2], wrong.said[-2000:] + right.said[-2000:]
    assert time.monotonic() - began < 280
    assert wrong.said.count("no column 'nope'") == 1
    assert right.said.count(f"error: machine {machine}: ") == 1
    assert "no column 'nope'" in right.said


def test_a_port_that_somebody_has_is_named(begin: Callable[..., Run], port: int) -> None:
    """Two commands with node_rank 0 do this."""
    first = begin(0)
    first.wait_for("meeting the others")
    wait_until_open(port, first)
    again = begin(0)
    assert end(again) == [2]
    assert "can't be opened (Address already in use)" in again.said
    first.process.send_signal(signal.SIGTERM)
    assert end(first) == [143], first.said


def test_a_machine_says_whom_it_waits_for(begin: Callable[..., Run]) -> None:
    run = begin(1)
    run.wait_for("machine 1 of 2: meeting the others at 127.0.0.1:")
    assert "what is done is shown on machine 0" in run.said
