"""What a front door can check, without torch, about a model or run that the user named."""

import difflib
from pathlib import Path

from autotrain.base_models import EMBEDDED, find_model, is_reward_model
from autotrain.errors import ModelError, RunFolderError
from autotrain.run_folder import is_run
from autotrain.trainers.clm.params import PARAMS_FILE

_MARKS = ("adapter_config.json", "config.json")


def check_target(name: str) -> None:
    """Raise unless `name` may be a run, a model folder, a GGUF file, an embedded model or a hub id.

    Raises RunFolderError for a folder that isn't there, holds no model, or an unfinished run; ModelError likewise.
    """
    path = Path(name).expanduser()
    if name in EMBEDDED or (path.is_file() and path.suffix == ".gguf"):
        find_model(name)
        return
    if path.is_file():
        raise RunFolderError(f"{name} is a file; give a run folder, a model folder, a GGUF file or a hub id")
    if path.is_dir():
        _check_folder(path)
        return
    near = nearest_folders(path)
    if near:
        raise RunFolderError(f"no folder {name}; did you mean {' or '.join(near)}?")
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or (path.parent.is_dir() and "/" in name):
        raise RunFolderError(f"no folder {name}; give a run folder, a model folder, a GGUF file or a hub id")


def check_writes_text(name: str) -> None:
    """As `check_target`; raises ModelError for a reward model too, which has no answers to give."""
    check_target(name)
    if is_reward_model(Path(name).expanduser()):
        raise ModelError(
            f"{name} is a reward model: it scores answers and writes none; use autotrain score {name} --data FILE"
        )


def nearest_folders(path: Path) -> list[str]:
    """Runs and models beside `path` with a name like its own."""
    if not path.parent.is_dir():
        return []
    there = {entry.name: entry for entry in path.parent.iterdir() if entry.is_dir() and _holds_something(entry)}
    return [str(there[name]) for name in difflib.get_close_matches(path.name, list(there), n=3, cutoff=0.6)]


def _check_folder(folder: Path) -> None:
    if any((folder / mark).is_file() for mark in _MARKS) or any(folder.glob("*.gguf")):
        return
    if is_run(folder) or (folder / PARAMS_FILE).is_file():
        raise RunFolderError(
            f"the run in {folder} isn't finished: it holds no model yet; "
            "continue it with autotrain --config YOUR_CONFIG --resume"
        )
    inside = [str(entry) for entry in sorted(folder.iterdir()) if entry.is_dir() and _holds_something(entry)][:3]
    hint = f"; did you mean {' or '.join(inside)}?" if inside else "; give the folder of a run, of a model, or a hub id"
    raise RunFolderError(f"{folder} is neither a run nor a model{hint}")


def _holds_something(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in (*_MARKS, PARAMS_FILE))
