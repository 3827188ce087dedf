"""From parameters to a job: `AutoTrainProject(params=..., backend="local", process=True).create()`."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

from autotrain import log
from autotrain.backends.base import Job, Outcome, Plan, find_backend
from autotrain.base_models import find_model
from autotrain.config.names import runs_here, unavailable_trainer
from autotrain.errors import ConfigError, Interrupted, PushError, TrainingError, UserError
from autotrain.hub.repo import check_push
from autotrain.run_folder import check_free
from autotrain.trainers.clm.params import LLMTrainingParams

_SIGNALS = {128 + signal.SIGINT: signal.SIGINT, 128 + signal.SIGTERM: signal.SIGTERM}


def prepare(job: Job, backend: str) -> Plan:
    """Check all that can be checked before data and weights are touched, and plan the job.

    Raises UserError: ConfigError, ModelError, RunFolderError or HubError.
    """
    found = find_backend(backend)
    params = job.params
    trainer_fault = unavailable_trainer(params.trainer)
    if trainer_fault:
        raise ConfigError(f"trainer: {trainer_fault}")
    if runs_here(backend):
        local = job.place / params.model
        find_model(str(local) if local.exists() else params.model)
        check_free(job.folder, resume=job.resume, overwrite=job.overwrite)
    if backend != "ray":
        _note_ray(params, backend)
    plan = found.plan(job)
    if params.push_to_hub or params.push_checkpoints:
        check_push(params)
    return plan


def _note_ray(params: LLMTrainingParams, backend: str) -> None:
    for name in ("ray_address", "ray_resources", "ray_storage"):
        if getattr(params, name) is not None:
            log.notice(f"{name} has no effect with backend {backend}; it is for backend: ray")


def submit(job: Job, backend: str, agrees: Callable[[], bool] = lambda: True) -> Outcome:
    """Check and run a job; waits where the backend does.  Raises UserError if it can't be run.

    agrees: asked before a run that costs money, after its bill was shown; if not, nothing is done.
    """
    plan = prepare(job, backend)
    if plan.confirmation is not None:
        log.info(plan.confirmation())
        if not agrees():
            log.info("nothing was started")
            return Outcome("", 0)
    return plan.start()


@dataclass
class AutoTrainProject:
    """A run from Python.  `process` is accepted for AutoTrain's callers and no longer needed."""

    params: LLMTrainingParams
    backend: str = "local"
    process: bool = False
    resume: bool = False
    overwrite: bool = False

    def create(self) -> int | str:
        """Run, and return the worker's process id, or a service's job id.

        `local` and `local-cli` wait, and raise UserError (refused), TrainingError (failed) or Interrupted;
        `local-ui` returns at once.
        """
        outcome = submit(Job(self.params, self.resume, self.overwrite), self.backend)
        _raise_for(outcome, self.params.project_name)
        return outcome.job_id


def _raise_for(outcome: Outcome, project: str) -> None:
    code = outcome.exit_code
    if code in (None, 0):
        return
    if code == UserError.exit_code:
        raise UserError(outcome.reason or f"{project}: the worker refused to train; it says above why")
    if code == PushError.exit_code:
        raise PushError(outcome.reason or f"{project}: trained, but not pushed; push it: autotrain push {project}")
    if code in _SIGNALS:
        raise Interrupted(f"{project}: {outcome.reason or 'interrupted'}; go on with resume=True", int(_SIGNALS[code]))
    why = f": {outcome.reason}" if outcome.reason else f"; it says above why, and in {project}/train.log"
    raise TrainingError(f"{project}: the run failed with exit code {code}{why}")


def warn_of_autotrain_advanced() -> None:
    """Say so if the package `autotrain-advanced` is installed beside ours: both are imported as `autotrain`."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        version = distribution("autotrain-advanced").version
    except PackageNotFoundError:
        return
    log.notice(
        f"autotrain-advanced {version} is installed beside this project, and both call themselves autotrain; "
        "remove one: pip uninstall autotrain-advanced, then install this one again"
    )
