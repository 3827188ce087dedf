"""The parameters that say on how many devices and machines a run goes, apart from what it computes.

A run gives the same losses and weights to rounding, whatever they are.
"""

import re
from typing import Annotated, Literal

from pydantic import field_validator, model_validator

from autotrain.config.base import Settings
from autotrain.trainers.clm.values import Lower, Optional, field

DEEPSPEED = (
    "distributed_backend: deepspeed isn't supported; fsdp cuts weights, gradients and optimizer up among the devices as its "
    "ZeRO stage 3 does: write distributed_backend: fsdp, or leave it out"
)


class MachineParams(Settings):
    """What LLMTrainingParams says about devices and machines."""

    distributed_backend: Annotated[Literal["ddp", "fsdp", "deepspeed"] | None, Optional, Lower] = field(
        None,
        "How several devices work together: ddp (each holds the whole model), fsdp (each holds a part); without it, ddp "
        "where the model with its optimizer fits a device, else fsdp.",
        group="machines",
    )
    devices: Annotated[int | None, Optional] = field(
        None,
        "Devices of this machine to train on: GPUs, or on a processor processes; without it, all GPUs.",
        group="machines",
        gt=0,
    )
    nodes: int = field(1, "Machines that train together; each runs the same command.", group="machines", gt=0)
    node_rank: Annotated[int | None, Optional] = field(
        None, "Which of the machines this one is, from 0; the result is written on machine 0.", group="machines", ge=0
    )
    master: Annotated[str | None, Optional] = field(
        None, "Where the machines meet: HOST:PORT of machine 0.", group="machines"
    )
    max_restarts: int = field(
        0, "How often training goes on from its last checkpoint by itself after a process died.", group="machines", ge=0
    )
    hang_minutes: float = field(
        30,
        "After so long without a sign of life from one of several processes the run is given up.",
        group="machines",
        unit="minutes",
        gt=0,
    )

    ray_address: Annotated[str | None, Optional] = field(
        None,
        "With backend ray, the cluster: auto (the one that this machine is in) or ray://HOST:PORT; without it, RAY_ADDRESS, "
        "else one is started on this machine.",
        group="machines",
    )
    ray_resources: Annotated[str | None, Optional] = field(
        None,
        "With backend ray, what each worker gets, as CPU=4,GPU=1 or with names of the cluster's own; without it, one CPU, "
        "and a GPU where there are some.",
        group="machines",
    )
    ray_storage: Annotated[str | None, Optional] = field(
        None,
        "With backend ray, a folder that all machines of the cluster see, where the run folder lies if they don't see the "
        "one that the run is started in.",
        group="machines",
    )

    @field_validator("ray_address")
    @classmethod
    def _check_ray_address(cls, address: str | None) -> str | None:
        if address is None or re.fullmatch(r"auto|local|(ray://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):\d{1,5}", address):
            return None if address == "local" else address
        raise ValueError("auto, or an address such as ray://10.0.0.1:10001")

    @field_validator("ray_resources")
    @classmethod
    def _check_ray_resources(cls, text: str | None) -> str | None:
        if text is None:
            return None
        parts = [part.strip() for part in text.split(",") if part.strip()]
        if not parts or not all(re.fullmatch(r"[A-Za-z][\w:.-]*\s*=\s*\d+(\.\d+)?", part) for part in parts):
            raise ValueError("NAME=AMOUNT with commas between, such as CPU=4,GPU=1")
        return ",".join("=".join(word.strip() for word in part.split("=")) for part in parts)

    @field_validator("ray_storage")
    @classmethod
    def _check_ray_storage(cls, folder: str | None) -> str | None:
        if folder is not None and not folder.startswith("/"):
            raise ValueError("a folder from /, such as /shared/runs")
        return folder

    @property
    def resources_of_worker(self) -> dict[str, float]:
        """`ray_resources`, by Ray's names."""
        parts = (part.split("=") for part in (self.ray_resources or "").split(",") if part)
        return {name: float(amount) for name, amount in parts}

    @field_validator("master")
    @classmethod
    def _check_master(cls, master: str | None) -> str | None:
        if master is None:
            return None
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_.-]+)):(\d{1,5})", master.strip())
        if not found or not 0 < int(found[3]) < 65536:
            raise ValueError("HOST:PORT, such as 10.0.0.1:29500")
        return master.strip()

    @model_validator(mode="after")
    def _check_nodes(self) -> "MachineParams":
        if self.node_rank is not None and self.node_rank >= self.nodes:
            raise ValueError(
                f"node_rank ({self.node_rank}) counts from 0, so of {self.nodes} nodes the last is {self.nodes - 1}; "
                "lower node_rank or raise nodes"
            )
        return self

    @property
    def meeting_place(self) -> tuple[str, int] | None:
        """Host and port of `master`."""
        if self.master is None:
            return None
        host, _, port = self.master.rpartition(":")
        return host.strip("[]"), int(port)
