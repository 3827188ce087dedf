"""A job file on disk, and what belongs beside it.  No secret is ever written."""

import os
import shutil
from pathlib import Path

from autotrain import log
from autotrain.errors import ConfigError, RunFolderError
from autotrain.launch_files.work import PACKAGE, JobFile


def write(made: JobFile, file: Path, *, overwrite: bool) -> None:
    """Raises ConfigError for a secret in it, and RunFolderError where something is there or nothing can be written."""
    own = {file: made.text.encode()}
    sent = {made.beside / path: content for path, content in made.files.items()} if made.beside else {}
    for path, content in {**own, **sent}.items():
        if PACKAGE not in path.parts and log.mask(content.decode()) != content.decode():
            raise ConfigError(f"{path} would hold a token; leave it out of the config: the variable HF_TOKEN says it")
    taken = [path for path in (file, made.beside) if path and path.exists()]
    if taken and not overwrite:
        raise RunFolderError(f"{taken[0]} is there already; --overwrite replaces it, --output FILE writes another")
    try:
        if made.beside and (made.beside / PACKAGE / "constraints.txt").is_file():
            shutil.rmtree(made.beside / PACKAGE)
        for path, content in {**sent, **own}.items():
            _write(path, content)
    except OSError as problem:
        raise RunFolderError(f"{file} can't be written: {problem.strerror}; name another place with --output") from problem


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)
