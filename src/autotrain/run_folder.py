"""The run folder: what lies in it, who may write to it, and where the run stands.

Both sides of the wall use it, so it imports neither torch nor pydantic.
"""

import fcntl
import fnmatch
import json
import os
import shutil
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from autotrain.errors import RunFolderError
from autotrain.model_code import code_files

STATE_FILE = "state.json"
RUN_FILE = "run.json"
METRICS_FILE = "metrics.jsonl"
SAMPLES_FILE = "samples.jsonl"
LEFT_OUT_FILE = "rows_left_out.jsonl"
LOG_FILE = "train.log"
HUB_FILE = "hub.json"
CURVE_FILE = "loss_curve.svg"
CHECKPOINTS = "checkpoints"
TENSORBOARD = "runs"
LOCK_FILE = ".lock"
# The process number of a launcher, for the processes that it launches.
WORKER_VARIABLE = "AUTOTRAIN_WORKER"
PULL_FOLDER = ".tmp-pull"  # checkpoints on their way from the hub
# Whoever watches sees the step within a second.
HEARTBEAT_SECONDS = 0.5
_NUM_LOCK_TRIES = 100
_LOCK_TRY_SECONDS = 0.05

# Stages of a run, in order.  `stopped`: the model was written, but steps are left (max_hours).
TRAINING, FINISHING, STOPPED, INTERRUPTED, FAILED, FINISHED = (
    "training",
    "finishing",
    "stopped",
    "interrupted",
    "failed",
    "finished",
)

# What a run makes, or the libraries on its behalf; everything else is somebody's and is never deleted.
_MADE_BY_RUNS = (
    "training_params.json",
    STATE_FILE,
    RUN_FILE,
    METRICS_FILE,
    SAMPLES_FILE,
    LEFT_OUT_FILE,
    LOG_FILE,
    HUB_FILE,
    LOCK_FILE,
    CHECKPOINTS,
    TENSORBOARD,
    "reference_logps.safetensors",
    "README.md",
    CURVE_FILE,
    "adapter",
    "adapter_config.json",
    "adapter_model*.safetensors",
    "model*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "spiece.model",
    "sentencepiece*.model",
    "chat_template*",
    "wandb",
    "mlruns",
    ".tmp-*",
)

# What a worker that was killed on entering its folder may have left there.
_LEFT_BY_A_START = (LOCK_FILE, LOG_FILE, f".tmp-{STATE_FILE}", PULL_FOLDER)


@dataclass(frozen=True)
class RunState:
    """What state.json says.  heartbeat: seconds since the epoch."""

    stage: str
    step: int
    total_steps: int
    pid: int
    heartbeat: float
    message: str = ""


def write_json(path: Path, value: Any, *, waits_for_disk: bool = True) -> None:
    """Write `value` to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n", waits_for_disk=waits_for_disk)


def write_text(path: Path, text: str, *, waits_for_disk: bool = True) -> None:
    """Write `text` to `path`, whole or not at all."""
    temporary = path.with_name(f".tmp-{path.name}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        if waits_for_disk:
            file.flush()
            os.fsync(file.fileno())
    temporary.replace(path)


def open_own(path: Path) -> BinaryIO:
    """Open a file of a run folder to read it.  Raises OSError for a link too: no run makes one, and it may lead anywhere."""
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")


def is_own_file(path: Path) -> bool:
    """Whether `open_own` would open it."""
    return path.is_file() and not path.is_symlink()


def read_own(path: Path) -> str:
    """The text of a file of a run folder.  Raises OSError for a link too, UnicodeDecodeError."""
    with open_own(path) as file:
        return file.read().decode("utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file `path` of a run folder, {} if there is none that can be read."""
    try:
        found = json.loads(read_own(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def read_state(folder: Path) -> RunState | None:
    """The state of the run in `folder`, or None if it holds none that can be read."""
    try:
        return RunState(**json.loads(read_own(folder / STATE_FILE)))
    except (OSError, ValueError, TypeError):
        return None


def is_run(folder: Path) -> bool:
    """Whether a run of ours wrote to `folder`."""
    return is_own_file(folder / STATE_FILE)


def foreign_entries(folder: Path) -> list[str]:
    """Names in `folder` that no run made."""
    return sorted({entry.name for entry in folder.iterdir()} - _made_by_runs(folder))


def _made_by_runs(folder: Path) -> set[str]:
    """Names in `folder` of what runs made."""
    names = {entry.name for entry in folder.iterdir()}
    made = {name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in _MADE_BY_RUNS)}
    return made | (names & code_files(folder))


def check_free(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Raise RunFolderError unless a run may write to `folder` in this way.  Changes nothing."""
    if resume and overwrite:
        raise RunFolderError("--resume continues a run and --overwrite starts it anew; give one of them")
    if folder.is_symlink() and not folder.exists():
        raise RunFolderError(f"project_name: {folder} is a link that leads nowhere")
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"project_name: {folder} is a file; choose another project_name")
    if not folder.exists() or all(entry.name in _LEFT_BY_A_START for entry in folder.iterdir()):
        if not os.access(folder if folder.exists() else folder.absolute().parent, os.W_OK):
            raise RunFolderError(f"project_name: no permission to write {folder.absolute()}")
        return
    if not is_run(folder):
        names = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5])
        raise RunFolderError(
            f"project_name: the folder {folder} holds files that no run made ({names}); "
            "choose another project_name or move them away"
        )
    if is_held(folder):
        raise RunFolderError(_held_message(folder))
    if resume:
        return
    if not overwrite:
        raise RunFolderError(
            f"project_name: the folder {folder} holds a run already ({_stage(folder)}); "
            "continue it with --resume, replace it with --overwrite, or choose another project_name"
        )
    foreign = ", ".join(foreign_entries(folder)[:5])
    if foreign:
        raise RunFolderError(
            f"--overwrite: the folder {folder} also holds files that no run made ({foreign}); move them away first"
        )


def is_held(folder: Path) -> bool:
    """Whether a worker has claimed `folder` and not released it."""
    try:
        lock = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
    return False


def _held_message(folder: Path) -> str:
    state = read_state(folder)
    process = f" (process {state.pid}; step {state.step} of {state.total_steps})" if state else ""
    return f"project_name: another worker is writing to {folder}{process}; wait for it or stop it first"


def _stage(folder: Path) -> str:
    state = read_state(folder)
    return f"{state.stage}, step {state.step} of {state.total_steps}" if state else "of unknown state"


def _worker() -> int:
    """The process that is told to stop: of several that work on a run, their launcher."""
    return int(os.environ.get(WORKER_VARIABLE) or os.getpid())


class RunFolder:
    """A run folder held by this process.  Use `claim`; other workers are kept out until `release`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        self._state = RunState(TRAINING, 0, 0, _worker(), 0.0)
        self._written = -HEARTBEAT_SECONDS  # monotonic: a clock may be set back
        self._writing = threading.Lock()  # the pulse's thread says why it ends the process

    def set_state(self, stage: str, step: int, total_steps: int, message: str = "") -> None:
        """Write state.json at once."""
        self._write(RunState(stage, step, total_steps, _worker(), time.time(), message))

    def set_stage(self, stage: str, message: str = "") -> None:
        """Write state.json with another stage and the same step."""
        self.set_state(stage, self._state.step, self._state.total_steps, message)

    def beat(self, step: int, total_steps: int) -> None:
        """Write state.json if the last time was a while ago, without waiting for the disk: the next beat comes soon."""
        if time.monotonic() - self._written >= HEARTBEAT_SECONDS:
            self._write(RunState(self._state.stage, step, total_steps, _worker(), time.time()), waits_for_disk=False)

    def _write(self, state: RunState, *, waits_for_disk: bool = True) -> None:
        with self._writing:
            self._state, self._written = state, time.monotonic()
            write_json(self.path / STATE_FILE, asdict(state), waits_for_disk=waits_for_disk)

    def release(self) -> None:
        os.close(self._lock)


def claim(folder: Path, *, resume: bool, overwrite: bool) -> RunFolder:
    """Make or take over `folder` for this process, emptied with `overwrite`.

    Raises RunFolderError if it is occupied, or if another worker is writing to it.
    """
    check_free(folder, resume=resume, overwrite=overwrite)
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take(lock)
    except OSError as error:
        os.close(lock)
        raise RunFolderError(_held_message(folder)) from error
    if overwrite and not is_new:
        _empty(folder)
    for leftover in folder.glob(".tmp-*"):  # of a worker that was killed while it wrote its result
        _delete(leftover)
    return RunFolder(folder, lock)


def _take(lock: int) -> None:
    """Lock the open file `lock` for this process.  Raises OSError if another one keeps it."""
    for _ in range(_NUM_LOCK_TRIES):
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_TRY_SECONDS)  # perhaps `is_held` of somebody who only looks
    return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def held(folder: Path) -> Generator[None]:
    """Keep workers out of a run folder while it is read.  Raises RunFolderError if one is writing to it."""
    if not is_run(folder) or not os.access(folder, os.W_OK):
        yield  # nobody trains there
        return
    lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise RunFolderError(_held_message(folder)) from error
    try:
        yield
    finally:
        os.close(lock)


def _empty(folder: Path) -> None:
    """Delete what runs made, state.json last, so that a half-emptied folder is still known as a run."""
    entries = [folder / name for name in _made_by_runs(folder) if name != LOCK_FILE]
    for entry in sorted(entries, key=lambda entry: entry.name == STATE_FILE):
        _delete(entry)


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
