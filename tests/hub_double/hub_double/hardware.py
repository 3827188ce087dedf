"""The machines that the double has to let, with prices of its own (close to the published ones, but no source for them)."""

from typing import Any

from hub_double.protocol import Answer, Call, Refused, as_json, route

_PRICES = """
cpu-basic      2  16   0.01  - 0 0
cpu-upgrade    8  32   0.03  - 0 0
cpu-performance 32 256 1.90  - 0 0
cpu-xl         16 124  1.00  - 0 0
t4-small       4  15   0.40  T4 1 16
t4-medium      8  30   0.60  T4 1 16
l4x1           8  30   0.80  L4 1 24
l4x4           48 186  3.80  L4 4 96
l40sx1         8  62   1.80  L40S 1 48
l40sx4         48 382  8.30  L40S 4 192
l40sx8         192 1534 23.50 L40S 8 384
a10g-small     4  15   1.00  A10G 1 24
a10g-large     12 46   1.50  A10G 1 24
a10g-largex2   24 92   3.00  A10G 2 48
a10g-largex4   48 184  5.00  A10G 4 96
a100-large     12 142  2.50  A100 1 80
a100x4         48 568  10.00 A100 4 320
a100x8         96 1136 20.00 A100 8 640
h200           23 256  5.00  H200 1 141
h200x2         46 512  10.00 H200 2 282
h200x4         92 1024 20.00 H200 4 564
h200x8         184 2048 40.00 H200 8 1128
rtx-pro-6000   24 250  3.00  RTX-PRO-6000 1 96
rtx-pro-6000x2 48 500  6.00  RTX-PRO-6000 2 192
rtx-pro-6000x4 96 1000 12.00 RTX-PRO-6000 4 384
rtx-pro-6000x8 192 2000 24.00 RTX-PRO-6000 8 768
"""
JOBS_ONLY = frozenset({"cpu-performance", "cpu-xl", "h200", "h200x2", "h200x4", "h200x8"})


def _machine(line: str, free: bool) -> dict[str, Any]:
    name, cores, memory_gb, dollars_per_hour, gpu, gpus, gpu_memory_gb = line.split()
    micro_dollars = 0 if free else round(float(dollars_per_hour) * 1e6 / 60)
    described: dict[str, Any] = {
        "name": name,
        "prettyName": name.replace("-", " ").title(),
        "cpu": f"{cores} vCPU",
        "ram": f"{memory_gb} GB",
        "ephemeralStorage": "50 GB",
        "accelerator": None,
        "unitCostMicroUSD": micro_dollars,
        "unitCostUSD": micro_dollars / 1e6,
        "unitLabel": "minute",
    }
    if gpu != "-":
        accelerator = {
            "type": "gpu",
            "model": gpu,
            "quantity": gpus,
            "vram": f"{gpu_memory_gb} GB",
            "manufacturer": "Nvidia",
        }
        described["accelerator"] = accelerator
    return described


def of_jobs() -> list[dict[str, Any]]:
    return [_machine(line, free=False) for line in _PRICES.strip().splitlines()]


def of_spaces() -> list[dict[str, Any]]:
    lines = [line for line in _PRICES.strip().splitlines() if line.split()[0] not in JOBS_ONLY]
    return [_machine(line, free=line.startswith("cpu-basic ")) for line in lines]


def check(machines: list[dict[str, Any]], name: str, can_pay: bool) -> None:
    """Raises Refused for a machine that isn't to be had, or can't be paid."""
    machine = next((each for each in machines if each["name"] == name), None)
    if machine is None:
        known = ", ".join(each["name"] for each in machines)
        raise Refused(400, f'"flavor" must be one of [{known}], got "{name}"')
    if machine["unitCostMicroUSD"] and not can_pay:
        raise Refused(402, f"Payment required: add a payment method or credits to your account to use {name}")


def jobs_hardware(call: Call) -> Answer:
    return as_json(call.hub.jobs_hardware)


def spaces_hardware(call: Call) -> Answer:
    return as_json(call.hub.spaces_hardware)


ROUTES = (
    route("GET", "/api/jobs/hardware", jobs_hardware),
    route("GET", "/api/spaces/hardware", spaces_hardware),
)
