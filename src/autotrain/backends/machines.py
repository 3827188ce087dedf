"""How many devices and machines a run goes on: as the parameters say, or as the surroundings do.

The front door must know before torch does, so GPUs are counted by their device files.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from autotrain.errors import ConfigError
from autotrain.trainers.clm.machines import DEEPSPEED
from autotrain.trainers.clm.params import LLMTrainingParams

_DEVICES = Path("/dev")
_DEFAULT_PORT = 29500


@dataclass(frozen=True)
class Machines:
    """devices: of this machine.  is_started: whether somebody else started one of us for each device (torchrun, srun)."""

    devices: int
    nodes: int = 1
    node_rank: int = 0
    master: str | None = None
    max_restarts: int = 0
    is_started: bool = False

    @property
    def total(self) -> int:
        """Processes of the run, if all machines have as many devices."""
        return self.devices * self.nodes


def find_machines(params: LLMTrainingParams, environment: Mapping[str, str]) -> Machines:
    """Raises ConfigError for what can't be."""
    if "RANK" in environment and "WORLD_SIZE" in environment and "LOCAL_RANK" in environment:
        return Machines(1, is_started=True)
    nodes, node_rank, master = params.nodes, params.node_rank, params.master
    slurm = _of_slurm(environment)
    if slurm and (nodes == slurm.nodes or not params.is_explicit("nodes")):
        nodes, node_rank, master = slurm.nodes, slurm.rank if node_rank is None else node_rank, master or slurm.master
    devices = _devices(params, environment)
    if nodes > 1 and (node_rank is None or master is None):
        lacking = " and ".join(name for name, value in (("node_rank", node_rank), ("master", master)) if value is None)
        raise ConfigError(
            f"nodes: {nodes} machines need {lacking}, too: on each machine --node-rank R (0 to {nodes - 1}) and the same "
            "--master HOST:PORT, which is where machine 0 can be reached"
        )
    if nodes * devices > 1 and params.distributed_backend == "deepspeed":
        raise ConfigError(DEEPSPEED)
    return Machines(devices, nodes, node_rank or 0, master, params.max_restarts)


def _devices(params: LLMTrainingParams, environment: Mapping[str, str]) -> int:
    """Those asked for, or all GPUs; without a GPU, one process."""
    num_gpus = count_gpus(environment)
    devices = params.devices or num_gpus or 1
    if num_gpus and devices > num_gpus:
        here, instead = f"{num_gpus} GPU{'s' if num_gpus > 1 else ''}", "leave it out to take all"
    elif not num_gpus and devices > max(2, os.cpu_count() or 1):
        here, instead = f"{os.cpu_count()} processors and no GPU", "leave it out for one process"
    else:
        return devices
    raise ConfigError(f"devices: this machine has {here} (got {devices}); lower devices, or {instead}")


def crew_options(machines: Machines) -> list[str]:
    """The launcher's part of the worker's command; empty for one process, or where somebody else starts them."""
    if machines.is_started or machines.total == 1:
        return []
    options = ["crew", "--devices", str(machines.devices)]
    if machines.nodes > 1:
        options += ["--nodes", str(machines.nodes), "--node-rank", str(machines.node_rank), "--master", str(machines.master)]
    if machines.max_restarts:
        options += ["--max-restarts", str(machines.max_restarts)]
    return options


def count_gpus(environment: Mapping[str, str]) -> int:
    """NVIDIA GPUs that this process may use; 0 where there are none."""
    present = sum(1 for entry in _DEVICES.glob("nvidia*") if re.fullmatch(r"nvidia\d+", entry.name))
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    named = [name.strip() for name in visible.split(",")]
    # CUDA ignores what follows a name that isn't one.
    valid = named[: named.index("-1")] if "-1" in named else named
    return min(present, len([name for name in valid if name]))


@dataclass(frozen=True)
class _Slurm:
    """A step of SLURM with one task on each of its machines, and the machine's number in it."""

    nodes: int
    rank: int
    master: str | None


def _of_slurm(environment: Mapping[str, str]) -> _Slurm | None:
    try:
        nodes, tasks = int(environment["SLURM_STEP_NUM_NODES"]), int(environment["SLURM_STEP_NUM_TASKS"])
        rank = int(environment["SLURM_NODEID"])
    except (KeyError, ValueError):
        return None
    if nodes == 1 or tasks != nodes:
        return None
    host = _first_host(environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST") or "")
    port = environment.get("MASTER_PORT") or _DEFAULT_PORT
    return _Slurm(nodes, rank, f"{host}:{port}" if host else None)


def _first_host(hosts: str) -> str:
    """Of a list as SLURM writes it: node[03-05,9],other."""
    with suppress(OSError, subprocess.SubprocessError):
        shown = subprocess.run(
            ["scontrol", "show", "hostnames", hosts], capture_output=True, text=True, timeout=20, check=True
        )
        if shown.stdout.split():
            return shown.stdout.split()[0]
    found = re.match(r"([^,\[]+)(?:\[([0-9]+))?", hosts)
    return found[1] + (found[2] or "") if found else ""
