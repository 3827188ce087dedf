"""What a run was started with."""

import json
from typing import Any

from autotrain.errors import RunFolderError
from autotrain.run_folder import is_own_file, read_own
from autotrain.runs.registry import Entry
from autotrain.trainers.clm.params import PARAMS_FILE, LLMTrainingParams


def raw_parameters(entry: Entry) -> dict[str, Any]:
    """As written down, or nothing where that isn't known."""
    try:
        values = json.loads(_text(entry))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _text(entry: Entry) -> str:
    """What a queued run will be, else what its folder or the registry says."""
    if entry.queued:
        return entry.parameters
    if entry.cloud:
        return entry.cloud.parameters
    file = entry.folder / PARAMS_FILE
    return read_own(file) if is_own_file(file) or not entry.parameters else entry.parameters


def parameters_to_resume(entry: Entry) -> LLMTrainingParams:
    """What the run was started with, to go on with it.  Raises RunFolderError."""
    values = raw_parameters(entry)
    folder, name = entry.folder, values.get("project_name")
    if not values:
        where = "the registry" if entry.cloud else str(folder / PARAMS_FILE)
        raise RunFolderError(
            f"{entry.name} can't be resumed: {where} doesn't hold its parameters; with its config: "
            "autotrain --config YOUR_CONFIG --resume, or --overwrite if nothing of it is left"
        )
    if not folder.parent.is_dir():
        raise RunFolderError(f"{entry.name} can't be resumed: the folder {folder.parent}, where it was started, is gone")
    if name != folder.name:
        raise RunFolderError(
            f"{entry.name} can't be resumed: its folder was renamed from {name} to {folder.name}; give it its name back"
        )
    return LLMTrainingParams(**values)
