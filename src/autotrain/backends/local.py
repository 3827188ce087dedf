"""This machine: the worker as a child process, watched or left to itself."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autotrain import log
from autotrain.backends.base import Job, Outcome, Plan
from autotrain.backends.child import dying_with_us, signals_for_a_child
from autotrain.backends.environment import speed_settings
from autotrain.backends.machines import crew_options, find_machines
from autotrain.errors import REASON_FILE_VARIABLE, DeviceError
from autotrain.home import home
from autotrain.run_folder import is_run
from autotrain.runs import forget, register

NAMES = ("local", "local-cli", "local-ui")

# Long enough for any worker to have read its parameters.
STALE_SECONDS = 24 * 3600.0
_WORKER = "autotrain.trainers.clm"


def open_backend(name: str) -> "LocalBackend":
    """`local` and `local-cli` wait for the worker, `local-ui` leaves it running."""
    return LocalBackend(name, waits=name != "local-ui")


def worker_command(entry: str, parameters_file: str, options: Sequence[str] = ()) -> list[str]:
    """The worker's argv.  -P: a `datasets.py` in the user's folder must not stand in for the library."""
    worker = [sys.executable, "-P", "-m", _WORKER, entry]
    return [*worker, "--training_config", parameters_file, *options]


def _command(entry: str, parameters_file: str, options: Sequence[str], launcher: Sequence[str]) -> list[str]:
    """The worker's argv.  launcher: an entry that starts several workers, with its options; stands before the worker's."""
    command = worker_command(entry, parameters_file, options)
    place = command.index(_WORKER) + 1 if launcher else 0
    return [*command[:place], *launcher, *command[place:]]


def worker_environment(job: Job) -> dict[str, str]:
    """The user's environment, and what it lacks for speed; the hub token travels here and nowhere else."""
    speed = {"TOKENIZERS_PARALLELISM": "true", **speed_settings(job.params, os.environ)}
    environment = {**speed, **os.environ, "PYTHONUNBUFFERED": "1"}
    if job.params.token:
        token = job.params.token.get_secret_value()
        log.hide_secret(token)
        environment["HF_TOKEN"] = token
    return environment


def run_worker(
    entry: str, job: Job, options: Sequence[str] = (), *, launcher: Sequence[str] = (), backend: str | None = None
) -> Outcome:
    """Run a worker and wait for it, passing signals on.  With `backend`, the run is put in the registry."""
    file = _write_parameters(job, Path(tempfile.gettempdir()).absolute())
    reason_file = file.with_suffix(".reason")
    try:
        environment = worker_environment(job) | {REASON_FILE_VARIABLE: str(reason_file)}
        with signals_for_a_child() as child:
            process = _spawn(_command(entry, str(file), options, launcher), environment, job.place)
            child.begin(process)
            entry_id = register(job.params.project_name, job.folder, backend, process.pid) if backend else None
            exit_code = child.wait()
        if entry_id is not None and not is_run(job.folder):
            forget(entry_id)  # refused before it began
        reason = _read_reason(reason_file)
        if not reason and process.returncode < 0:
            reason = _ended_by(-process.returncode)
            log.error(reason + _go_on(job.folder, entry_id))
        return Outcome(process.pid, exit_code, reason)
    finally:
        file.unlink(missing_ok=True)
        reason_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class LocalBackend:
    """Runs jobs on this machine."""

    name: str
    waits: bool

    def plan(self, job: Job) -> Plan:
        return plan_worker(job, self.name, crew_options(find_machines(job.params, os.environ)), waits=self.waits)


def plan_worker(job: Job, backend: str, launcher: Sequence[str], *, waits: bool) -> Plan:
    """A worker that trains, as a process of this machine.  launcher: what starts several of it, and its options."""
    options = [f"--{name}" for name in ("resume", "overwrite") if getattr(job, name)]
    command = shlex.join(_command("train", "PARAMETERS", options, launcher)).replace("PARAMETERS", "<temporary file>")
    start = run_worker if waits else _leave_running
    return Plan(command, partial(start, "train", job, options, launcher=launcher, backend=backend))


def _leave_running(entry: str, job: Job, options: Sequence[str], *, launcher: Sequence[str], backend: str) -> Outcome:
    """Start a worker that outlives us; its output goes to a file under AutoTrain's home."""
    try:
        jobs, logs = _folder("jobs"), _folder("logs")
    except OSError as problem:
        raise DeviceError(
            f"{home()}: can't be written ({problem.strerror}); set AUTOTRAIN_HOME to a folder that can"
        ) from problem
    _sweep(jobs)
    file = _write_parameters(job, jobs)
    log_file = logs / f"{file.stem}.log"
    environment = worker_environment(job) | {REASON_FILE_VARIABLE: str(log_file.with_suffix(".reason").absolute())}
    with log_file.open("ab") as output:
        process = subprocess.Popen(
            _command(entry, str(file.absolute()), options, launcher),
            env=environment,
            cwd=job.place,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    number = register(job.params.project_name, job.folder, backend, process.pid, log_file)
    hint = "" if number is None else f"; follow it: autotrain runs logs -f {number}; stop it: autotrain runs stop {number}"
    log.info(f"started as process {process.pid}; its output goes to {log_file}{hint}")
    return Outcome(process.pid, None)


def _spawn(command: Sequence[str], environment: Mapping[str, str], place: Path) -> "subprocess.Popen[bytes]":
    # A process group of its own: the terminal's Ctrl-C reaches the worker once, through us.
    return subprocess.Popen(dying_with_us(command, interrupt="later"), env=environment, cwd=place, process_group=0)


def _write_parameters(job: Job, folder: Path) -> Path:
    """A file that only the user can read; the token isn't in it."""
    descriptor, name = tempfile.mkstemp(prefix=f"{job.params.project_name}-", suffix=".json", dir=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(job.params.to_json())
    return Path(name)


def _read_reason(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""  # all went well, or the worker was ended by force


def _ended_by(number: int) -> str:
    """Why a worker said nothing."""
    if number == signal.SIGKILL:
        return (
            "the worker was ended by force (SIGKILL): somebody did so, or the system, for want of memory; a smaller "
            "batch_size or block_size needs less"
        )
    return f"the worker was ended by {signal.Signals(number).name} and could save nothing"


def _go_on(folder: Path, number: int | None) -> str:
    if not is_run(folder):
        return ""
    return "; --resume goes on" if number is None else f"; go on: autotrain runs resume {number}"


def _folder(name: str) -> Path:
    folder = home() / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _sweep(folder: Path) -> None:
    """Remove parameters of runs that began long ago."""
    for file in folder.glob("*.json"):
        with suppress(FileNotFoundError):  # another start sweeps, too
            if time.time() - file.stat().st_mtime > STALE_SECONDS:
                file.unlink()
