"""How much memory a model will take, and how much there is: by file sizes, without loading anything."""

from pathlib import Path

from autotrain.app.talks.subject import Subject
from autotrain.base_models import ModelSource

# The process with its libraries, and what an answer needs beside the weights.
_PROCESS_BYTES = 700 * 1024**2
_GGUF_FACTOR = 4.0  # stored in about four bits, held in sixteen
_LOAD_FACTOR = 1.2
_MEMORY = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def needed_bytes(subject: Subject, *, with_base: bool) -> int:
    """An upper guess; of a model on the hub only what the process takes, as its size isn't known."""
    weights = int(weight_bytes(subject.source) * _LOAD_FACTOR)
    return _PROCESS_BYTES + weights + (base_bytes(subject) if with_base else 0)


def base_bytes(subject: Subject) -> int:
    """What the model before training takes beside the tuned one: nothing where that is an adapter on it."""
    if subject.adapter or subject.base is None:
        return 0
    return int(weight_bytes(subject.base) * _LOAD_FACTOR)


def merge_bytes(subject: Subject) -> int:
    """What merging takes: the model, and what was merged read back to be compared."""
    return _PROCESS_BYTES + 2 * int(weight_bytes(subject.source) * _LOAD_FACTOR)


def weight_bytes(source: ModelSource) -> int:
    folder = Path(source.path)
    if source.gguf_file:
        return int((folder / source.gguf_file).stat().st_size * _GGUF_FACTOR)
    files = [*folder.glob("model*.safetensors")] or [*folder.glob("pytorch_model*.bin")]
    return sum(file.stat().st_size for file in files)


def free_bytes() -> int | None:
    """What this machine, or the container that this is, has left; None where that isn't known."""
    found = [amount for amount in (_free_of_machine(), _free_of_group()) if amount is not None]
    return min(found, default=None)


def _free_of_machine() -> int | None:
    try:
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free_of_group() -> int | None:
    try:
        limit = (_GROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_GROUP / "memory.current").read_text(encoding="ascii"))
        stat = (_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    if not limit.isdigit():
        return None
    cache = next((int(line.split()[1]) for line in stat if line.startswith("inactive_file ")), 0)
    return max(0, int(limit) - used + cache)
