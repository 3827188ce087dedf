"""What the driver tells the processes of a run on a Ray cluster."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Errand:
    """number: of the run, unlike any other's.  project: its name.  parameters: as in training_params.json, without secrets.

    options: of the worker.  place: the folder of the driver that relative paths begin in.
    probe: a file there, and what it says: who can read it there sees the driver's folders.
    storage: a folder that all machines of the cluster see, None where none was named.
    local_paths: key of the config -> path, relative or absolute, of what lies on the driver's disks.
    desk: the actor through which both talk.
    """

    number: str
    project: str
    parameters: str
    options: tuple[str, ...]
    place: Path
    probe: tuple[Path, str]
    storage: Path | None
    local_paths: dict[str, str]
    max_restarts: int
    desk: Any = field(repr=False)
