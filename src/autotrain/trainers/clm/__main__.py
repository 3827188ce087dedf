"""The worker: `python -m autotrain.trainers.clm [train|crew|ray|inspect|generate] ...`.

Exit codes: 0; 2 the user can mend it, nothing was written; 1 the run failed; 3 trained, but not pushed; 130 and 143
interrupted, saved where possible.
"""

import argparse
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from autotrain import log
from autotrain.config.base import describe
from autotrain.errors import REASON_FILE_VARIABLE, AutoTrainError, ConfigError, PeerError
from autotrain.hub.look import check_models
from autotrain.run_folder import FINISHED, check_free, is_run, read_state
from autotrain.trainers.clm import rank
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.streams import outlive_readers
from autotrain.training.place import Place, find_place

_FULL_DISK = ("No space left on device", "os error 28", "Disk quota exceeded")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the entry that `argv` names; returns the exit code."""
    started = time.monotonic()
    arguments = list(sys.argv[1:] if argv is None else argv)
    entry = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "train"
    place = rank.begin() if entry == "train" else None
    log.start_logging()
    log.hide_secret(os.environ.get("HF_TOKEN"))
    with _interrupts() as came:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            return _entry(entry, started)(arguments)
        except AutoTrainError as error:
            return _say(error, error.exit_code, str(error), place)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  the outermost frame of the worker
            if came or isinstance(error, KeyboardInterrupt):
                return _say(error, 130, "interrupted; what was not saved yet is lost", place)
            return _say(error, 1, unforeseen(error), place)


@contextmanager
def _interrupts() -> Generator[list[int]]:
    """Notes Ctrl-C, beside the exception: while they are imported, libraries take that for a module that can't be had.

    One that came while this module was imported is kept by whoever started us, and comes now.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        yield came
        return

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)


def unforeseen(error: BaseException) -> str:
    """What to say of an error that no part of the program expected, while it is handled."""
    if any(sign in str(error) for sign in _FULL_DISK):  # libraries in Rust and C++ raise it as all kinds of exceptions
        return f"a disk is full ({error}); make room where the project's folder and TMPDIR are, then go on with --resume"
    return "the run failed, and not by a mistake of yours that we know of:\n" + traceback.format_exc()


def _say(error: BaseException, code: int, reason: str, place: Place | None) -> int:
    """Log why it ended, and hand it to a launcher that asked for it.  Returns the exit code."""
    if place is not None:
        code = rank.end(place, error, code, reason)
        if rank.is_launched_by_us():
            return code  # which tells it, once for all processes
        if not place.leads and not isinstance(error, PeerError):
            sys.stderr.write(f"error: process {place.local} of machine {place.node}: {log.mask(reason)}\n")
    log.error(reason)
    file = os.environ.get(REASON_FILE_VARIABLE)
    if file:
        Path(file).write_text(log.mask(reason), encoding="utf-8")
    return code


def _entry(name: str, started: float) -> Callable[[list[str]], int]:
    if name == "generate":
        with _imports():
            from autotrain.trainers.clm.generate import main as generate
        return generate
    if name == "crew":
        from autotrain.trainers.clm.crew import main as crew

        return crew
    if name == "ray":
        from autotrain.trainers.clm.cluster.driver import main as drive

        return drive
    entries: dict[str, Callable[[list[str]], int]] = {"train": partial(_train, started=started), "inspect": _inspect}
    if name not in entries:
        raise ConfigError(f"no worker entry '{name}'; there are train, crew, ray, inspect, generate")
    return entries[name]


def _train(arguments: list[str], *, started: float) -> int:
    options = _options().parse_args(arguments)
    params = read_params(Path(options.training_config))
    folder = Path(params.project_name)
    resume, overwrite = options.resume, options.overwrite
    place = find_place()
    if place and place.restart:
        if rank.cannot_be_helped(place):
            return 0
        resume, overwrite = is_run(folder), False
    if place is None or place.leads:
        check_free(folder, resume=resume, overwrite=overwrite)
    state = read_state(folder)
    if resume and state and state.stage == FINISHED:
        if place and not place.leads:
            return 0
        if not _push_late(folder, params):
            log.info(f"{folder} is finished already, after {state.step} steps; nothing to resume")
        return 0
    check_models(params)
    with _imports():
        from autotrain.trainers.clm.train import train
    train(params, resume=resume, overwrite=overwrite, started=started)
    return 0


def _push_late(folder: Path, params: LLMTrainingParams) -> bool:
    """Push a result that didn't get to the hub; returns whether there was one to push."""
    if not params.push_to_hub:
        return False
    from autotrain.trainers.clm.push import push_unpushed

    return push_unpushed(folder, params)


def _inspect(arguments: list[str]) -> int:
    if arguments == ["--serve"]:
        with _imports():
            from autotrain.trainers.clm.inspect.serve import serve
        return serve()
    parser = _options()
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    params = read_params(Path(options.training_config))
    check_models(params)
    with _imports():
        from autotrain.trainers.clm.inspect.shown import inspect, inspect_as_json
    (inspect_as_json if options.json else inspect)(params, options.rows)
    return 0


@contextmanager
def _imports() -> Generator[None]:
    """Around imports of the large libraries, which stay: looking for garbage in them is a fifth of the time they take."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m autotrain.trainers.clm", allow_abbrev=False)
    parser.add_argument("--training_config", required=True, help="file of parameters, as training_params.json")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    return parser


def read_params(path: Path) -> LLMTrainingParams:
    """Parameters from a file like training_params.json.  Raises ConfigError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--training_config: {path} can't be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"--training_config: {path} holds no object of parameters")
    try:
        return LLMTrainingParams(**values)
    except ValidationError as error:
        raise describe(error, str(path)) from error


if __name__ == "__main__":
    if sys.argv[1:2] in (["train"], ["crew"], ["ray"]):
        outlive_readers()
    sys.exit(main())
