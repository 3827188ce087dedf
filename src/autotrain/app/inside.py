"""What a run that was asked for over the network may read: the workspace, and models that have a name."""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from autotrain.app.workspace import Workspace
from autotrain.base_models import EMBEDDED
from autotrain.errors import ConfigError, RunFolderError
from autotrain.trainers.clm.params import LLMTrainingParams

# Parameters that may name a file or folder.
PATHS = ("data_path", "model", "model_ref", "chat_template")
_CLUSTER = ("ray_address", "ray_storage")
_SPLITS = ("train_split", "valid_split")


def check_inside(params: LLMTrainingParams, workspace: Workspace, allowed: Collection[str] = ()) -> None:
    """Raise ConfigError if `params` names a file or folder outside the workspace.

    allowed: what may be named wherever it lies: base models that whoever runs the server offers, and what a run that is
    there already was started with.
    """
    workspace.run(params.project_name)
    for name in PATHS:
        value = getattr(params, name)
        if value and value not in EMBEDDED and value not in allowed and not _is_inside(value, workspace):
            raise ConfigError(
                f"{name}: {value} lies outside the workspace {workspace.root}; upload the file, or put it there, "
                "or start the run with autotrain --config"
            )
    for name in _CLUSTER:  # where the token goes, and a folder on other machines
        value = getattr(params, name)
        if value:
            raise ConfigError(
                f"{name}: can't be said here; whoever runs the server may set RAY_ADDRESS, or start the run itself"
            )
    for name in _SPLITS:
        value = getattr(params, name)
        if value and (".." in value or "/" in value or "\\" in value):
            raise ConfigError(f"{name}: must be the name of a split, not a path (got {value!r})")


def check_links(folder: Path, workspace: Workspace) -> None:
    """Raise RunFolderError if a link in the run folder leads out of it and of the workspace: a run would write there."""
    root = folder.resolve()
    for link in _links(folder):
        if not link.resolve().is_relative_to(root) and not workspace.holds(link):
            raise RunFolderError(
                f"project_name: {link} is a link that leads out of the workspace; remove it, or choose another name"
            )


def paths_of(values: Mapping[str, object]) -> frozenset[str]:
    """What the parameters of a run name that may be a path."""
    return frozenset(str(values[name]) for name in PATHS if values.get(name))


def _is_inside(value: str, workspace: Workspace) -> bool:
    """A hub's name is; so is a path that leads to no place outside, by links in the folder that it names neither."""
    if value.startswith("~") or "\0" in value:
        return False
    path = workspace.root / value
    return workspace.holds(path) and all(map(workspace.holds, _links(path)))


def _links(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        yield from (path for name in (*folders, *files) if (path := Path(place, name)).is_symlink())
