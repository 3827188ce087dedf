"""What a backend is, and how one is found by name.

A backend is a module of this folder with a line `NAMES = (...)` and a function `open_backend(name)`.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from autotrain.config.declared import declared_names
from autotrain.config.names import backend_fault, unavailable_backend
from autotrain.errors import ConfigError, HubError
from autotrain.trainers.clm.params import LLMTrainingParams


@dataclass(frozen=True)
class Job:
    """What is to be run, wherever it runs.  detach: don't wait for a cloud run.

    place: the folder that the run folder, and relative paths in the parameters, lie in.
    """

    params: LLMTrainingParams
    resume: bool = False
    overwrite: bool = False
    detach: bool = False
    place: Path = Path()

    @property
    def folder(self) -> Path:
        return self.place / self.params.project_name


@dataclass(frozen=True)
class Outcome:
    """job_id: process id or a service's own id.  exit_code: None while the job goes on without us.

    reason: what the worker said when it ended otherwise than well, "" where it said nothing.
    """

    job_id: int | str
    exit_code: int | None
    reason: str = ""

    @property
    def code_for_shell(self) -> int:
        """0 for what goes on as it should; what could be followed no longer is no success."""
        if self.exit_code is None:
            return HubError.exit_code if self.reason else 0
        return self.exit_code


@dataclass(frozen=True)
class Plan:
    """What a backend would do, in words (`text`), and the doing of it (`start`).  Planning touches nothing.

    confirmation: of a backend that costs money, what would be done and what it costs now; asks the service.
    """

    text: str
    start: Callable[[], Outcome]
    confirmation: Callable[[], str] | None = None


class Backend(Protocol):
    """Where a job runs."""

    def plan(self, job: Job) -> Plan:
        """How `job` would be run.  Raises UserError if it can't be run here."""
        ...


def find_backend(name: str) -> Backend:
    """The backend called `name`.  Raises ConfigError for an unknown name, and for one that this version lacks."""
    fault = backend_fault(name) or unavailable_backend(name)
    if fault:
        raise ConfigError(f"backend: {fault}")
    module = importlib.import_module(declared_names("autotrain.backends")[name])
    return module.open_backend(name)
