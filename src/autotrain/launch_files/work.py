"""What every job file is made of: a checked config, how many machines and devices, and what lies on this machine."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from autotrain.base_models import EMBEDDED
from autotrain.config.base import Settings
from autotrain.config.data_files import is_local
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams


def _check_name(name: str) -> str:
    """Nothing that a shell or a line of options could read otherwise."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.,:/@+-]*", name):
        raise ValueError("a name of letters, digits and _ . , : / @ + -")
    return name


def _check_line(line: str) -> str:
    if not line.strip() or not line.isprintable():
        raise ValueError("one line of shell; give the option again for another")
    return line.strip()


Name = Annotated[str, AfterValidator(_check_name)]
Line = Annotated[str, AfterValidator(_check_line)]
DEFAULT_PORT = 29500
# The folder, beside a job file, of this package as files.
PACKAGE = "package"


def option(default: Any, help: str, metavar: str = "", **limits: Any) -> Any:
    """A field that is an option of `autotrain launch`."""
    return Field(default, description=help, json_schema_extra={"metavar": metavar}, **limits)


class Options(Settings):
    """What every target takes."""

    gpus: bool = option(True, "leave GPUs out: train on processors")
    cpus: int | None = option(None, "processor cores of each machine", "N", gt=0)
    memory: int | None = option(None, "memory of each machine, in GB", "GB", gt=0)
    port: int = option(DEFAULT_PORT, "port on which the machines meet", "PORT", ge=1024, lt=65536)


@dataclass(frozen=True)
class Work:
    """A run as it is given to a scheduler.

    config: path or address of the config.  folder: where the command was given; relative paths start there.
    options: field -> value, as options said it over the config.
    """

    params: LLMTrainingParams
    config: str
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def name(self) -> str:
        return self.params.project_name

    @property
    def nodes(self) -> int:
        return self.params.nodes

    def absolute(self, path: str) -> str:
        return os.path.normpath(self.folder / Path(path).expanduser())

    def devices(self, gpus: bool) -> int | None:
        """Devices of each machine: one GPU, unless more are said; on processors what is said."""
        return self.params.devices or (1 if gpus else None)

    def words(self, config: str, devices: int | None) -> list[str]:
        """The command that each machine runs, as far as it is the same on all."""
        restarts = self.options.get("max_restarts")
        return [
            *("autotrain", "--config", config, "--nodes", str(self.nodes)),
            *(("--devices", str(devices)) if devices else ()),
            *(("--max-restarts", restarts) if restarts else ()),
        ]


@dataclass(frozen=True)
class JobFile:
    """A job file: its text, and what its user should be told.

    told: (what, command) in the order in which one needs them.  notes: sentences that come before.
    files: path -> content of what belongs into the folder `beside` it.
    """

    text: str
    told: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()
    beside: Path | None = None
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


def local_paths(params: LLMTrainingParams) -> dict[str, str]:
    """Key of the config -> path, for all that lies on a disk and not on the hub."""
    found: dict[str, str] = {}
    if is_local(params.data_path):
        found["data.path"] = params.data_path
        if params.valid_split and "/" in params.valid_split:
            found["data.valid_split"] = params.valid_split
    for key, name in (("base_model", params.model), ("params.model_ref", params.model_ref)):
        if name and name not in EMBEDDED and _is_local_model(name):
            found[key] = name
    template = params.chat_template
    if template and ("/" in template or "." in template):
        found["data.chat_template"] = template
    return found


def check(params: LLMTrainingParams, backend: str) -> None:
    """Raises ConfigError for a config that no job file can be made of."""
    if backend not in ("local", "local-cli"):
        raise ConfigError(
            f"backend: {backend} starts the run elsewhere; a job file runs it on the scheduler's own machines: "
            "write backend: local"
        )
    for name in ("node_rank", "master"):
        if getattr(params, name) is not None:
            raise ConfigError(f"{name}: is given by the scheduler, another one for each job; leave it out of the config")


def plain_name(project: str, where: str) -> str:
    """A name that begins with a letter, as clusters want it.  Raises ConfigError for letters that they don't take."""
    if not project.isascii():
        raise ConfigError(f"project_name: {project} can't be a name {where}: letters a-z, digits and hyphens only")
    name = project.strip("-")
    return name if name[0].isalpha() else f"run-{name}"


def described(work: Work, devices: int | None, gpus: bool) -> str:
    """Such as `2 machines with 8 GPUs each`."""
    one, more = ("GPU", "GPUs") if gpus else ("process", "processes")
    machines = "1 machine" if work.nodes == 1 else f"{work.nodes} machines"
    if not devices:
        return f"{machines} without GPUs"
    return f"{machines} with {devices} {one if devices == 1 else more}" + (" each" if work.nodes > 1 else "")


def _is_local_model(name: str) -> bool:
    path = Path(name).expanduser()
    return path.exists() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1
