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
