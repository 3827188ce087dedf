"""Two machines, made of two network namespaces with a cable between them."""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from command import SECONDS, Run
from same_runs import assert_same_run
from tests_of_ranks import job

if os.geteuid() != 0 or shutil.which("ip") is None:
    pytest.skip(reason="network namespaces need root and iproute2", allow_module_level=True)

PORT = 29500
pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def processes(machine: str) -> list[int]:
    listed = subprocess.run(["ip", "netns", "pids", machine], capture_output=True, text=True).stdout
    return [int(pid) for pid in listed.split()]


@pytest.fixture
def machines() -> Generator[tuple[str, str]]:
    """Names of two namespaces, 10.77.0.1 and 10.77.0.2, which see each other and nothing else."""
    mark = uuid.uuid4().hex[:6]
    names = (f"at{mark}a", f"at{mark}b")
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", f"v{mark}a", "type", "veth", "peer", "name", f"v{mark}b")
        for name, end, address in zip(names, "ab", ("10.77.0.1", "10.77.0.2"), strict=True):
            ip("link", "set", f"v{mark}{end}", "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", f"v{mark}{end}")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", f"v{mark}{end}", "up")
    except subprocess.CalledProcessError as error:
        pytest.skip(reason=f"no network namespaces here: {error.stderr.strip()}")
    yield names
    for name in names:
        for pid in processes(name):  # of a test that failed
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def begin(machine: str, number: int, folder: Path, params: dict[str, Any], *options: str, nodes: int = 2) -> Run:
    folder.mkdir(exist_ok=True)
    options = ("--nodes", str(nodes), "--node-rank", str(number), "--master", f"10.77.0.1:{PORT}", *options)
    return Run(folder, params, *options, prefix=("ip", "netns", "exec", machine))


def small(params: dict[str, Any]) -> dict[str, Any]:
    return {**params, "mixed_precision": "none", "lora_dropout": None, "max_prompt_length": None}


def test_two_machines_without_a_shared_folder_give_what_one_process_gives(
    machines: tuple[str, str], rows_folder: Path, tiny_model: Path, tmp_path: Path, run_alone: Any
) -> None:
    """One command on each; the second waits for the first, and the result lies on machine 0 alone."""
    run_alone([job("sft", "alone", rows_folder, tiny_model, devices=1, peft=False)], tmp_path)
    params = small(job("sft", "both", rows_folder, tiny_model, devices=2, distributed_backend="fsdp", peft=False)["params"])
    second = begin(machines[1], 1, tmp_path / "b", {**params, "project_name": "both-b"})
    first = begin(machines[0], 0, tmp_path / "a", {**params, "project_name": "both-b"})
    assert (first.process.wait(SECONDS), second.process.wait(SECONDS)) == (0, 0), first.said[-2000:] + second.said[-2000:]
    assert_same_run(tmp_path / "alone", first.project)
    assert not second.project.exists()


def test_a_machine_that_is_killed_ends_the_other_within_seconds(
    machines: tuple[str, str], rows_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    long = {"epochs": 3000, "eval_strategy": "no", "save_steps": 2, "logging_steps": 1, "num_sample_prompts": 0}
    params = small(job("sft", "killed", rows_folder, tiny_model, devices=2, peft=True, **long)["params"])
    first = begin(machines[0], 0, tmp_path / "a", params)
    second = begin(machines[1], 1, tmp_path / "b", params)
    first.wait_for("step 4/")
    for pid in processes(machines[1]):
        with suppress(ProcessLookupError):  # who looks at its parent has left by then
            os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    assert first.process.wait(SECONDS) == 1
    assert time.monotonic() - killed < 100
    assert "error: another process of the run was lost" in first.said or "process 1 of 2" in first.said
    assert "Traceback" not in first.said
    assert first.checkpoints()
    second.process.wait(SECONDS)


def test_both_machines_start_anew_after_one_process_died_and_one_signal_stops_both(
    machines: tuple[str, str], rows_folder: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """In a shared folder; torchrun counts the failure on one machine only."""
    long = {"epochs": 3000, "eval_strategy": "no", "save_steps": 2, "logging_steps": 1, "num_sample_prompts": 0}
    changes = {**long, "max_restarts": 1, "distributed_backend": "fsdp", "peft": True}
    params = small(job("sft", "again", rows_folder, tiny_model, devices=2, **changes)["params"])
    first = begin(machines[0], 0, tmp_path / "shared", params)
    second = begin(machines[1], 1, tmp_path / "shared", params)
    first.wait_for("step 4/")
    (rank,) = [pid for pid in processes(machines[1]) if b"-u\0-m\0autotrain" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(rank, signal.SIGKILL)
    first.wait_for(r"resumed: from step \d+")
    first.wait_for("step 12/")
    first.process.terminate()
    assert (first.process.wait(SECONDS), second.process.wait(SECONDS)) == (143, 143), (
        first.said[-1500:] + second.said[-1500:]
    )
    assert first.state()["stage"] == "interrupted"
