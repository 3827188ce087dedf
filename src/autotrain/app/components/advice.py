"""Why a run ended other than well, in plain words, and what to do: made of what its worker said."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from nicegui import ui

from autotrain.app.components.text import heading, paragraph
from autotrain.app.words import t

# Looked for in this order in what the worker said, in small letters.
_SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "queue": "taken out of the queue",
        "disk": r"no space left|disk quota|disk is full",
        "diverged": r"the loss is (nan|inf|-inf)|norm (nan|inf)",
        "memory": r"out of memory|can't allocate|cannot allocate|memoryerror|oom",
        "killed": "killed, or the machine went down",
        "time": r"max_hours|time limit|timed out",
        "interrupted": r"^interrupted|stopped from outside",
        "access": r"\b401\b|\b403\b|gated|no token|log in|permission denied|not allowed",
        "network": r"can't be reached|cannot be reached|connection|offline|temporary failure in name",
        "model": r"base_model|model_ref|tokenizer",
        "data": r"data\.|no column|no rows|\.(csv|jsonl?|parquet|txt)\b|valid_split|train_split|chat_template",
        "folder": r"project_name",
        "setting": r"^[a-z_]+(\.[a-z_]+)?: ",
    }
)
_GOOD_STAGES = frozenset({"finished", "waiting", "starting", "training", "finishing", "running", "paused"})


def kind_of_end(stage: str, reason: str) -> str:
    """Which of the ends we have words for; "" of a run that goes on or ended well.  reason: what its worker said."""
    if stage in _GOOD_STAGES:
        return ""
    said = reason.lower()
    found = next((kind for kind, sign in _SIGNS.items() if re.search(sign, said)), "")
    if stage == "interrupted" and found not in ("queue", "time"):
        return "interrupted"
    return found or ("gone" if stage == "gone" else "stopped" if stage in ("stopped", "unknown") else "other")


def advice_card(stage: str, reason: str) -> None:
    """Nothing for a run that goes on or ended well."""
    kind = kind_of_end(stage, reason)
    if not kind:
        return
    is_bad = stage in ("failed", "gone")
    role = "alert" if is_bad else "status"
    with ui.element("section").classes("at-card at-advice").classes("at-advice-bad" if is_bad else "").props(f"role={role}"):
        heading(t(f"advice.{kind}"))
        paragraph(t(f"advice.{kind}_do"))
        if reason:
            with ui.element("details"):
                with ui.element("summary"):
                    ui.label(t("advice.said")).style("display:inline")
                paragraph(reason).classes("at-mono")
