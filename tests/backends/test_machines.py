"""How many devices and machines: as the user says, or as the surroundings do."""

from pathlib import Path
from typing import Any

import pytest

from autotrain.backends import machines
from autotrain.backends.machines import Machines, count_gpus, crew_options, find_machines
from autotrain.errors import ConfigError
from autotrain.params import LLMTrainingParams

SLURM = {"SLURM_STEP_NUM_NODES": "4", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NODEID": "2", "SLURM_STEP_NODELIST": "gpu[07-10]"}


@pytest.fixture(autouse=True)
def devices_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /dev of a machine without GPUs and with 8 processors, and no SLURM."""
    monkeypatch.setattr(machines, "_DEVICES", tmp_path)
    monkeypatch.setattr(machines.os, "cpu_count", lambda: 8)
    monkeypatch.setenv("PATH", "")
    return tmp_path


def with_gpus(folder: Path, number: int) -> None:
    for name in ("nvidiactl", "nvidia-uvm", *(f"nvidia{place}" for place in range(number))):
        (folder / name).touch()


def found(environment: dict[str, str] | None = None, **fields: Any) -> Machines:
    return find_machines(LLMTrainingParams(**fields), environment or {})


def test_without_a_gpu_one_process_and_no_launcher() -> None:
    assert found() == Machines(1)
    assert crew_options(found()) == []


def test_all_gpus_are_taken_and_as_many_as_asked_for(devices_folder: Path) -> None:
    with_gpus(devices_folder, 4)
    assert crew_options(found()) == ["crew", "--devices", "4"]
    assert crew_options(found(devices=2)) == ["crew", "--devices", "2"]
    assert crew_options(found(devices=1)) == []


@pytest.mark.parametrize(
    ("visible", "number"), [("0,2", 2), ("", 0), ("1", 1), ("0,-1,2", 1), ("GPU-a,GPU-b", 2), ("0,1,2,3,4,5,6,7", 4)]
)
def test_cuda_visible_devices_counts(devices_folder: Path, visible: str, number: int) -> None:
    with_gpus(devices_folder, 4)
    assert count_gpus({"CUDA_VISIBLE_DEVICES": visible}) == number


@pytest.mark.parametrize(("gpus", "said"), [(2, "this machine has 2 GPUs (got 9)"), (0, "8 processors and no GPU (got 9)")])
def test_more_devices_than_there_are_is_refused(devices_folder: Path, gpus: int, said: str) -> None:
    with_gpus(devices_folder, gpus)
    with pytest.raises(ConfigError, match=r"devices: .*lower devices") as raised:
        found(devices=9)
    assert said in str(raised.value)


def test_several_machines_need_a_number_and_a_meeting_place() -> None:
    with pytest.raises(ConfigError, match=r"nodes: 2 machines need node_rank and master, too: .*--master HOST:PORT"):
        found(nodes=2)
    with pytest.raises(ConfigError, match="2 machines need master, too"):
        found(nodes=2, node_rank=1)
    assert crew_options(found(nodes=2, node_rank=1, master="a:29500", max_restarts=3)) == [
        "crew", "--devices", "1", "--nodes", "2", "--node-rank", "1", "--master", "a:29500", "--max-restarts", "3"
    ]  # fmt: skip


def test_slurm_says_which_machine_this_is_and_where_they_meet() -> None:
    assert found(SLURM) == Machines(1, 4, 2, "gpu07:29500")
    assert found(SLURM, nodes=4).node_rank == 2
    assert found(SLURM, master="10.0.0.1:1234").master == "10.0.0.1:1234"
    assert found({**SLURM, "SLURM_STEP_NODELIST": "login,gpu[1-3]"}).master == "login:29500"


def test_a_step_of_slurm_with_one_task_is_one_machine() -> None:
    assert found({**SLURM, "SLURM_STEP_NUM_TASKS": "1"}) == Machines(1)


def test_what_somebody_elses_torchrun_started_starts_nothing_more(devices_folder: Path) -> None:
    with_gpus(devices_folder, 4)
    environment = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}
    assert crew_options(found(environment, devices=2)) == []


def test_deepspeed_is_refused_with_several_devices_alone() -> None:
    assert found(distributed_backend="deepspeed") == Machines(1)
    with pytest.raises(ConfigError, match="write distributed_backend: fsdp"):
        found(distributed_backend="deepspeed", devices=2)
