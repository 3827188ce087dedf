"""Hugging Face's machines: their names, what is in them, and what an hour costs."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from autotrain.config.names import nearest_machine
from autotrain.errors import ConfigError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# The day of the prices below, as the hub's documentation gave them (pages "Using GPU Spaces" and "Pricing and Billing").
PRICES_DATE = "2026-08-22"

SPACES, JOBS = "spaces-", "jobs-"
_MINUTES_AN_HOUR, _SECONDS_AN_HOUR = 60, 3600


@dataclass(frozen=True)
class Hardware:
    """A machine.  Memory in GB, that of all its GPUs together; prices in USD per hour, None where there is none.

    space_price, job_price: None where the hub doesn't offer the machine for that, or its price isn't known.
    """

    name: str
    num_cpus: int
    memory: int
    gpu: str
    num_gpus: int
    gpu_memory: int
    space_price: float | None
    job_price: float | None

    @property
    def has_gpu(self) -> bool:
        return self.num_gpus > 0

    @property
    def description(self) -> str:
        """Such as `4 vCPU, 15 GB; 1 x T4, 16 GB`."""
        cpu = f"{self.num_cpus} vCPU, {self.memory} GB"
        return f"{cpu}; {self.num_gpus} x {self.gpu}, {self.gpu_memory} GB" if self.has_gpu else f"{cpu}; no GPU"


_TABLE = (
    # name, vCPU, GB, GPU, how many, their GB, a Space's price, a Job's price
    Hardware("cpu-basic", 2, 16, "", 0, 0, 0.00, 0.01),
    Hardware("cpu-upgrade", 8, 32, "", 0, 0, 0.03, 0.03),
    Hardware("cpu-xl", 16, 124, "", 0, 0, None, 1.00),
    Hardware("cpu-performance", 32, 256, "", 0, 0, None, 1.90),
    Hardware("t4-small", 4, 15, "T4", 1, 16, 0.40, 0.40),
    Hardware("t4-medium", 8, 30, "T4", 1, 16, 0.60, 0.60),
    Hardware("l4x1", 8, 30, "L4", 1, 24, 0.80, 0.80),
    Hardware("l4x4", 48, 186, "L4", 4, 96, 3.80, 3.80),
    Hardware("l40sx1", 8, 62, "L40S", 1, 48, 1.80, 1.80),
    Hardware("l40sx4", 48, 382, "L40S", 4, 192, 8.30, 8.30),
    Hardware("l40sx8", 192, 1534, "L40S", 8, 384, 23.50, 23.50),
    Hardware("a10g-small", 4, 15, "A10G", 1, 24, 1.00, 1.00),
    Hardware("a10g-large", 12, 46, "A10G", 1, 24, 1.50, 1.50),
    Hardware("a10g-largex2", 24, 92, "A10G", 2, 48, 3.00, 3.00),
    Hardware("a10g-largex4", 48, 184, "A10G", 4, 96, 5.00, 5.00),
    Hardware("a100-large", 12, 142, "A100", 1, 80, 2.50, 2.50),
    Hardware("a100x4", 48, 568, "A100", 4, 320, 10.00, 10.00),
    Hardware("a100x8", 96, 1136, "A100", 8, 640, 20.00, 20.00),
    Hardware("h200", 23, 256, "H200", 1, 141, None, 5.00),
    Hardware("h200x2", 46, 512, "H200", 2, 282, None, 10.00),
    Hardware("h200x4", 92, 1024, "H200", 4, 564, None, 20.00),
    Hardware("h200x8", 184, 2048, "H200", 8, 1128, None, 40.00),
    Hardware("rtx-pro-6000", 23, 256, "RTX PRO 6000", 1, 96, None, 2.75),
    Hardware("rtx-pro-6000x2", 46, 512, "RTX PRO 6000", 2, 192, None, 5.50),
    Hardware("rtx-pro-6000x4", 92, 1024, "RTX PRO 6000", 4, 384, None, 11.00),
    Hardware("rtx-pro-6000x8", 184, 2048, "RTX PRO 6000", 8, 768, None, 22.00),
)
HARDWARE = MappingProxyType({one.name: one for one in _TABLE})
SPACE_FLAVORS = tuple(one.name for one in _TABLE if one.space_price is not None)
JOB_FLAVORS = tuple(one.name for one in _TABLE if one.job_price is not None)


def is_space(backend: str) -> bool:
    """Whether `backend` is a Space's hardware, such as spaces-t4-small."""
    return backend.startswith(SPACES)


def hardware_of(backend: str) -> Hardware:
    """The machine that `spaces-NAME` or `jobs-NAME` stands for.  Raises ConfigError for any other."""
    start = SPACES if is_space(backend) else JOBS
    known = SPACE_FLAVORS if is_space(backend) else JOB_FLAVORS
    name = backend.removeprefix(start)
    if not backend.startswith(start) or name not in known:
        guess = nearest_machine(name, known)
        hint = f"; did you mean '{start}{guess}'?" if guess else f"; there are {', '.join(start + one for one in known)}"
        raise ConfigError(f"backend: no machine '{backend}'{hint}")
    return HARDWARE[name]


def hourly_price(backend: str) -> float | None:
    """USD per hour by the table of PRICES_DATE, or None if it doesn't say."""
    hardware = hardware_of(backend)
    return hardware.space_price if is_space(backend) else hardware.job_price


def live_price(api: "HfApi", backend: str) -> float | None:
    """USD per hour as the hub says now, or None if it doesn't say.  Raises what the client raises."""
    offers = api.list_spaces_hardware() if is_space(backend) else api.list_jobs_hardware()
    name = hardware_of(backend).name
    offer = next((one for one in offers if one.name == name), None)
    if offer is None:
        return None
    units_an_hour = {"minute": _MINUTES_AN_HOUR, "second": _SECONDS_AN_HOUR, "hour": 1}.get(offer.unit_label)
    return None if units_an_hour is None else offer.unit_cost_usd * units_an_hour


def several_gpus_note(backend: str, devices: int | None) -> str:
    """What to say of a machine with several GPUs, or "".  devices: how many were asked for, None for all."""
    hardware = hardware_of(backend)
    if hardware.num_gpus < 2:
        return ""
    if devices is None or devices >= hardware.num_gpus:
        return (
            f"{backend} has {hardware.num_gpus} GPUs and trains on all: a step has {hardware.num_gpus} times batch_size rows"
        )
    return f"{backend} has {hardware.num_gpus} GPUs, all of them billed, and devices: {devices} uses {devices}"
