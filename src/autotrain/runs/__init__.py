"""The runs of this machine and those that it started in the cloud: which there are, where they stand, how they end."""

from autotrain.runs.registry import CloudJob, Entry, Seen, forget, note_seen, register, register_cloud
from autotrain.runs.stages import Run, list_runs, look_at

__all__ = [
    "CloudJob",
    "Entry",
    "Run",
    "Seen",
    "forget",
    "list_runs",
    "look_at",
    "note_seen",
    "register",
    "register_cloud",
]
