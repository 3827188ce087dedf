"""The worker: `python -m autotrain.trainers.clm [train|inspect|generate] ...`.

Exit codes: 0; 2 the user can mend it, nothing was written; 1 the run failed; 3 trained, but not pushed; 130 and 143
interrupted, saved where possible.
"""

import argparse
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from autotrain import log
from autotrain.config.base import describe
from autotrain.errors import REASON_FILE_VARIABLE, AutoTrainError, ConfigError
from autotrain.hub.look import check_models
from autotrain.run_folder import FINISHED, check_free, read_state
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.trainers.clm.streams import outlive_readers


def main(argv: Sequence[str] | None = None) -> int:
    """Run the entry that `argv` names; returns the exit code."""
    started = time.monotonic()
    arguments = list(sys.argv[1:] if argv is None else argv)
    entry = arguments.pop(0) if arguments and not arguments[0].startswith("-") else "train"
    log.start_logging()
    log.hide_secret(os.environ.get("HF_TOKEN"))
    try:
        return _entry(entry, started)(arguments)
    except AutoTrainError as error:
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        _say("interrupted; what was not saved yet is lost")
        return 130
    except Exception:  # noqa: BLE001  the outermost frame of the worker
        _say("the run failed, and not by a mistake of yours that we know of:\n" + traceback.format_exc())
        return 1


def _say(reason: str) -> None:
    """Log why it ended, and hand it to a launcher that asked for it."""
    log.error(reason)
    file = os.environ.get(REASON_FILE_VARIABLE)
    if file:
        Path(file).write_text(log.mask(reason), encoding="utf-8")


def _entry(name: str, started: float) -> Callable[[list[str]], int]:
    if name == "generate":
        with _imports():
            from autotrain.trainers.clm.generate import main as generate
        return generate
    entries: dict[str, Callable[[list[str]], int]] = {"train": partial(_train, started=started), "inspect": _inspect}
    if name not in entries:
        raise ConfigError(f"no worker entry '{name}'; there are train, inspect, generate")
    return entries[name]


def _train(arguments: list[str], *, started: float) -> int:
    options = _options().parse_args(arguments)
    params = read_params(Path(options.training_config))
    folder = Path(params.project_name)
    check_free(folder, resume=options.resume, overwrite=options.overwrite)
    state = read_state(folder)
    if options.resume and state and state.stage == FINISHED:
        if not _push_late(folder, params):
            log.info(f"{folder} is finished already, after {state.step} steps; nothing to resume")
        return 0
    check_models(params)
    with _imports():
        from autotrain.trainers.clm.train import train
    train(params, resume=options.resume, overwrite=options.overwrite, started=started)
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
    if sys.argv[1:2] == ["train"]:
        outlive_readers()
    sys.exit(main())
