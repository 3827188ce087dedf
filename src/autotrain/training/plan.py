"""How a step is cut and which layers are computed again: decided by total memory, so that a run can be repeated."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from autotrain.models.memory import MemoryEstimate

# Tokens of a micro-batch; larger ones gain nothing there and only cost memory.
_MAX_TOKENS = {"cpu": 2048, "cuda": 65536, "mps": 8192}
_MIN_TOKENS = 64
_SEARCHING_FACTOR = 4
# Of Linux control groups, version 2 and version 1.
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_USABLE_SHARE = 0.6
_USABLE_SHARE_SEARCHING = 0.9  # auto_find_batch_size: start high, halve when memory runs out


@dataclass(frozen=True)
class MemoryPlan:
    """token_budget: tokens of a micro-batch.  num_checkpointed_layers: so many of the first are computed again."""

    token_budget: int
    num_checkpointed_layers: int
    num_layers: int
    total_bytes: int
    reason: str

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether any layer is computed again."""
        return self.num_checkpointed_layers > 0


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
    estimate: MemoryEstimate,
    *,
    device_type: str,
    total_bytes: int,
    other_bytes: int,
    longest_example: int,
    may_checkpoint: bool,
    search: bool,
) -> MemoryPlan:
    """The largest budget that pays and fits.

    If not even one longest example (in tokens) does, as few layers as need be are computed again.

    other_bytes: of a second model.
    """
    usable = total_bytes * (_USABLE_SHARE_SEARCHING if search else _USABLE_SHARE) - estimate.fixed - other_bytes
    ceiling = _MAX_TOKENS.get(device_type, _MAX_TOKENS["cpu"]) * (_SEARCHING_FACTOR if search else 1)
    num_checkpointed = _num_checkpointed(estimate, usable, longest_example) if may_checkpoint else 0
    fits = _tokens_that_fit(estimate, usable, num_checkpointed, max(ceiling, longest_example))
    budget = max(longest_example, min(fits, ceiling), _MIN_TOKENS)
    reason = f"{budget:,} tokens a micro-batch ({_why(budget, longest_example, ceiling)}), "
    reason += _what_is_kept(estimate, num_checkpointed)
    return MemoryPlan(budget, num_checkpointed, estimate.num_layers, total_bytes, reason)


def _num_checkpointed(estimate: MemoryEstimate, usable: float, longest_example: int) -> int:
    """The fewest layers with which the longest example fits; all of them where it doesn't fit anyhow."""
    for number in range(estimate.num_layers):
        if estimate.activations(longest_example, longest_example, number) <= usable:
            return number
    return estimate.num_layers


def _tokens_that_fit(estimate: MemoryEstimate, usable: float, num_checkpointed: int, limit: int) -> int:
    """The most tokens, all of them with a prediction, up to `limit`."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if estimate.activations(middle, middle, num_checkpointed) <= usable:
            low = middle
        else:
            high = middle - 1
    return low


def _why(budget: int, longest_example: int, ceiling: int) -> str:
    if budget == longest_example:
        return "the longest row"
    return "more would gain nothing" if budget == ceiling else "as many as fit"


def _what_is_kept(estimate: MemoryEstimate, num_checkpointed: int) -> str:
    if num_checkpointed == 0:
        return "activations kept"
    if num_checkpointed == estimate.num_layers:
        return "activations recomputed, since memory needs it"
    return f"activations of {num_checkpointed} of {estimate.num_layers} layers recomputed, since memory needs it"
