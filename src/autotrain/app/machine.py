"""What this machine has to train with, as the settings page says it."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

_ASK_SECONDS = 10
_MIB = 1024**2


@dataclass(frozen=True)
class Gpu:
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class Machine:
    """memory_bytes: 0 where the system doesn't say."""

    num_cores: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]


@cache
def this_machine() -> Machine:
    """Asked once; waits for NVIDIA's tool, where there is one."""
    return Machine(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _memory(), _gpus()
    )


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def _gpus() -> tuple[Gpu, ...]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    asked = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_ASK_SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.rsplit(",", 1) for line in answer.splitlines() if "," in line]
    return tuple(Gpu(name.strip(), int(mib) * _MIB) for name, mib in rows if mib.strip().isdigit())
