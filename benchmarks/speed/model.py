"""The model that both sides load: a folder, made once of the package that carries SmolLM2-135M."""

import os
from pathlib import Path

from benchmarks.speed.sides import Place, prepare

NAME = "smollm2-135m"


def cache_folder() -> Path:
    """Outside the repository: it is half a gigabyte."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autotrain-benchmarks"


def find_folder(given: Path | None, work_folder: Path) -> Path:
    """The model's folder; where none is given, it is converted first if need be.  Raises SideFailed."""
    if given is not None:
        return given.resolve()
    folder = cache_folder() / NAME
    if not (folder / "tokenizer.json").is_file() or not (folder / "config.json").is_file():
        prepare("model", NAME, folder, Place(work_folder / "model", folder, {}))
    return folder
