"""Before money is spent on a machine: the local data are read here, by the worker, as they will be there."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from autotrain import log
from autotrain.backends.base import Job
from autotrain.backends.local import worker_command, worker_environment
from autotrain.base_models import EMBEDDED, find_model
from autotrain.cloud.upload import SplitFile
from autotrain.errors import REASON_FILE_VARIABLE, ModelError, UserError
from autotrain.hub.push import size_text

# What is tokenized in some seconds.  More than that would keep the user waiting for what the machine does anyway.
MOST_BYTES = 50_000_000


def try_data(job: Job, splits: Sequence[SplitFile]) -> None:
    """Columns, template, lengths and rows of the local data, checked as the machine will.  Nothing is written.

    Raises UserError with what the worker found.  What can't be tried here is said and left to the machine.
    """
    if not splits:
        return
    obstacle = _obstacle(job, splits)
    if obstacle:
        log.notice(f"the data aren't tried here: {obstacle}; the machine finds out whether they can be trained on")
        return
    log.info("reading the data here first, so that nothing is paid for data that can't be trained on ...")
    code, reason = _inspect(job)
    if code == UserError.exit_code and reason:
        raise UserError(f"{reason} (found before anything was made or uploaded)")
    if code:
        log.notice(f"the data couldn't be tried here ({reason or f'exit code {code}'}); the machine tries them")


def _obstacle(job: Job, splits: Sequence[SplitFile]) -> str:
    """Why the data can't be tried on this machine, or ""."""
    num_bytes = sum(split.num_bytes for split in splits)
    if num_bytes > MOST_BYTES:
        return f"{size_text(num_bytes)} would take long"
    if job.params.trust_remote_code:
        return "the base model brings code of its own, which would run on this machine"
    if job.params.model in EMBEDDED:
        try:
            find_model(job.params.model)
        except ModelError:
            return f"{job.params.model} isn't installed on this machine"
    return ""


def _inspect(job: Job) -> tuple[int, str]:
    """Exit code of the worker's `inspect`, and what it said."""
    with tempfile.TemporaryDirectory(prefix="autotrain-") as folder:
        parameters, reason = Path(folder) / "parameters.json", Path(folder) / "reason"
        parameters.write_text(job.params.to_json(), encoding="utf-8")
        done = subprocess.run(
            worker_command("inspect", str(parameters), ["--rows", "1"]),
            env=worker_environment(job) | {REASON_FILE_VARIABLE: str(reason)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode, reason.read_text(encoding="utf-8").strip() if reason.is_file() else ""
