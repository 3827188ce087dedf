"""Where a run stands: a chip with a word and a colour."""

from collections.abc import Mapping
from types import MappingProxyType

from nicegui import ui

from autotrain.app.words import t

# All stages, and the colour of each.
TONES: Mapping[str, str] = MappingProxyType(
    {
        "waiting": "muted",
        "starting": "accent",
        "training": "accent",
        "finishing": "accent",
        "running": "accent",
        "paused": "warn",
        "finished": "good",
        "interrupted": "warn",
        "stopped": "warn",
        "failed": "bad",
        "gone": "muted",
        "unknown": "muted",
    }
)
# What a reader chooses from in the list of runs -> the stages that it means.
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "live": ("starting", "training", "finishing", "running", "paused"),
        "waiting": ("waiting",),
        "finished": ("finished",),
        "stopped": ("interrupted", "stopped"),
        "failed": ("failed", "gone", "unknown"),
    }
)


def stage_chip(stage: str) -> ui.label:
    return ui.label(t(f"stage.{stage}")).classes(f"at-chip at-tone-{TONES[stage]}").props(f"data-stage={stage}")


def restage(chip: ui.label, stage: str) -> None:
    """Let `chip` say another stage."""
    tones = " ".join(f"at-tone-{tone}" for tone in TONES.values())
    chip.classes(remove=tones, add=f"at-tone-{TONES[stage]}").props(f"data-stage={stage}")
    chip.text = t(f"stage.{stage}")
