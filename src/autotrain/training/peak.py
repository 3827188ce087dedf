"""How much memory is taken, now and at most: of the process on a processor, of torch's tensors on a GPU.  In bytes."""

import resource
import sys
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")


def start_measuring(device: torch.device) -> None:
    """From here on counts a GPU's peak; a process's counts from its start."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def current_bytes(device: torch.device) -> int:
    """What is taken now; where the system doesn't say, the most so far."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _status_bytes("VmRSS") or peak_bytes(device)


def held_bytes(device: torch.device) -> int:
    """What the system sees taken now: on a GPU also what torch keeps for later."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else current_bytes(device)


def peak_bytes(device: torch.device) -> int:
    """The most that was taken at once."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _status_bytes("VmHWM") or largest * (1 if sys.platform == "darwin" else 1024)


def _status_bytes(field: str) -> int:
    """A figure that Linux keeps of this process, 0 on other systems."""
    if not _STATUS.is_file():
        return 0
    lines = (line.split() for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines())
    return next((int(line[1]) * 1024 for line in lines if line and line[0] == f"{field}:"), 0)
