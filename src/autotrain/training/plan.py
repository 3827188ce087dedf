"""How a step is cut and whether activations are recomputed: decided by total memory, so that a run can be repeated."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

# A micro-batch larger than this gains nothing on a CPU and only costs memory.
_MAX_TOKENS = {"cpu": 4096, "cuda": 65536, "mps": 8192}
_SEARCHING_FACTOR = 4
# Of Linux control groups, version 2 and version 1.
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_USABLE_SHARE = 0.6
_USABLE_SHARE_SEARCHING = 0.9  # auto_find_batch_size: start high, halve when memory runs out


@dataclass(frozen=True)
class MemoryPlan:
    """token_budget: tokens of a micro-batch."""

    token_budget: int
    gradient_checkpointing: bool
    reason: str


def total_memory_bytes(device: torch.device) -> int:
    """Memory of the device, whether free or not; of the machine, as much as this container may use."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([installed, *filter(None, map(_limit_bytes, _CONTAINER_LIMITS))])


def _limit_bytes(file: Path) -> int | None:
    """What a control group's file allows, None where there's no such file or no limit."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) > 0 else None


def plan_memory(
    *,
    device_type: str,
    total_bytes: int,
    fixed_bytes: int,
    bytes_per_token: int,
    bytes_per_token_checkpointed: int,
    longest_example: int,
    may_checkpoint: bool,
    search: bool,
) -> MemoryPlan:
    """The largest budget that fits; gradient checkpointing only if one longest example doesn't fit without.

    fixed_bytes: weights, gradients and optimizer.  longest_example: tokens.
    """
    usable = total_bytes * (_USABLE_SHARE_SEARCHING if search else _USABLE_SHARE) - fixed_bytes
    fits = int(max(0, usable) // bytes_per_token)
    checkpointing = fits < longest_example and may_checkpoint
    if checkpointing:
        fits = int(max(0, usable) // bytes_per_token_checkpointed)
    ceiling = _MAX_TOKENS.get(device_type, _MAX_TOKENS["cpu"]) * (_SEARCHING_FACTOR if search else 1)
    budget = max(longest_example, min(fits, ceiling), 64)
    reason = "activations recomputed, since memory needs it" if checkpointing else "activations kept"
    return MemoryPlan(budget, checkpointing, f"{budget:,} tokens a micro-batch, {reason}")
