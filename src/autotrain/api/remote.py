"""The run on a machine in the cloud: fetch what it needs, train, push, tell how it ended, switch the machine off.

The disk is lost at the end.  So the model must be on the hub before that, and a push that failed is tried again.
"""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from autotrain import log
from autotrain.api import space
from autotrain.api.watch import Watch
from autotrain.backends.base import Job, Outcome
from autotrain.cloud.environment import Handover, read_handover
from autotrain.cloud.report import FAILED, FINISHED, STOPPED, End, end_line
from autotrain.cloud.upload import fetch_data
from autotrain.errors import AutoTrainError, HubError, Interrupted, PushError, TrainingError
from autotrain.hub.checkpoints import checkpoint_branch, drop_checkpoints, is_pushed_by
from autotrain.hub.client import account, endpoint, open_api, token_of
from autotrain.hub.push import push_run
from autotrain.hub.repo import Target, target_of
from autotrain.project import submit
from autotrain.run_folder import STOPPED as OUT_OF_TIME
from autotrain.run_folder import is_run, read_state
from autotrain.trainers.clm.params import LLMTrainingParams

# Where the files of an uploaded data set are laid down, beside the run's folder.
DATA_FOLDER = "data-files"
# How long a machine waits for the hub to take a trained model: about an hour, which is paid for.
PUSH_AGAIN_SECONDS = (60.0, 120.0, 240.0, 480.0, 900.0, 1800.0)
# Loading, validation and pushing come on top of max_hours, which the training itself keeps.
GRACE_SECONDS = 1800.0
_INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
_NO = ("0", "false", "no", "off")


@dataclass(frozen=True)
class Ended:
    """How the run on this machine ended.  is_left_running: the machine is to stay as it is."""

    exit_code: int
    is_left_running: bool = False


def run_here(environment: Mapping[str, str], watch: Watch) -> Ended:
    """Run what the environment says, report how it ended, and pause the Space that this is, if it is one."""
    try:
        handover = read_handover(environment)
        end = _guarded(handover, watch)
    except AutoTrainError as error:
        handover, end = None, End(FAILED, error.exit_code, str(error))
    watch.ends(end)
    if end.exit_code:
        log.error(end.reason)
    elif end.reason:
        log.notice(end.reason)
    sys.stdout.write(log.mask(end_line(end, handover.run if handover else "")) + "\n")
    sys.stdout.flush()
    space_id = environment.get("SPACE_ID")
    return _leave_space(space_id, environment, handover, end) if space_id else Ended(end.exit_code)


def _guarded(handover: Handover, watch: Watch) -> End:
    """Train, whatever happens: afterwards the machine has to be switched off."""
    try:
        with _terminable():
            return _train(handover, watch)
    except Interrupted as error:
        return End(STOPPED, error.exit_code, str(error))
    except AutoTrainError as error:
        return End(FAILED, error.exit_code, str(error))
    except Exception:  # noqa: BLE001  the outermost frame of what runs on a machine in the cloud
        reason = "the run failed, and not by a mistake of yours that we know of:\n" + traceback.format_exc()
        return End(FAILED, TrainingError.exit_code, reason)


def _train(handover: Handover, watch: Watch) -> End:
    """Raises AutoTrainError if it didn't come to a worker."""
    params = handover.params
    folder = Path(params.project_name)
    watch.starts(folder)
    if handover.data_revision:
        files = fetch_data(params.data_path, handover.data_revision, Path(DATA_FOLDER), token_of(params.token))
        params = params.model_copy(update={"data_path": str(files)})
    too_long = End(FAILED, TrainingError.exit_code, f"it didn't end {GRACE_SECONDS / 60:.0f} min after max_hours")
    limit = _Limit()
    try:
        with _limited(limit, params.max_hours):
            # The worker fetches the checkpoint that an earlier machine pushed.
            outcome = submit(Job(params, resume=handover.resume or is_run(folder) or _has_pushed(handover)), "local")
    except Interrupted:
        if not limit.is_over:
            raise
        return too_long  # before there was a worker, or after it
    if limit.is_over and outcome.exit_code in _INTERRUPTED:
        return too_long
    if outcome.exit_code == PushError.exit_code:
        outcome = _push_again(handover, folder, outcome, watch)
    return _end(handover, folder, outcome)


def _has_pushed(handover: Handover) -> bool:
    """Whether this very start has pushed a checkpoint: then its container was started anew, on an empty disk."""
    params = handover.params
    if not (params.push_checkpoints and handover.run):
        return False
    return is_pushed_by(_result_of(params), token_of(params.token), handover.run)


def _result_of(params: LLMTrainingParams) -> Target:
    return Target(f"{params.username}/{params.project_name}", revision=params.hub_revision)


def _push_again(
    handover: Handover,
    folder: Path,
    outcome: Outcome,
    watch: Watch,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """The model is trained and lies on this machine alone: try to push it again, ever more rarely."""
    reason = outcome.reason.partition(". Nothing is lost")[0]  # the worker doesn't know what its machine is
    for seconds in PUSH_AGAIN_SECONDS:
        log.error(f"{reason}\nthe model lies on this machine alone; trying again in {seconds / 60:.0f} min")
        watch.pushes(reason)
        try:
            sleep(seconds)
            _push(handover.params, folder)
            return Outcome(outcome.job_id, 0)
        except HubError as problem:
            reason = str(problem)
        except Interrupted as error:
            raise Interrupted(
                f"stopped from outside before the trained model was pushed: {reason}", signal.SIGTERM
            ) from error
    tries = len(PUSH_AGAIN_SECONDS)
    lost = f"{reason}; it was tried {tries} times more, for about an hour. The model is lost with this machine's disk"
    return Outcome(outcome.job_id, PushError.exit_code, lost + _what_is_kept(handover.params))


def _push(params: LLMTrainingParams, folder: Path) -> None:
    """Raises HubError."""
    token = token_of(params.token)
    target = target_of(params, account(open_api(token)))
    push_run(folder, target, token)
    if params.push_checkpoints and not _is_out_of_time(folder):
        drop_checkpoints(target, token)


def _what_is_kept(params: LLMTrainingParams) -> str:
    if not params.push_checkpoints:
        return ""
    branch = checkpoint_branch(_result_of(params))
    return (
        f"; of its checkpoints, what got to the branch {branch} of {params.username}/{params.project_name} is kept, and "
        "--resume goes on from there"
    )


def _end(handover: Handover, folder: Path, outcome: Outcome) -> End:
    """How it ended, by the worker's exit code and what stands in its folder."""
    code, reason = outcome.exit_code or 0, outcome.reason
    if code in _INTERRUPTED:
        return End(STOPPED, code, reason or "stopped from outside")
    if code:
        return End(FAILED, code, reason or f"the worker ended with exit code {code}")
    params, state = handover.params, read_state(folder)
    url = f"{endpoint()}/{params.username}/{params.project_name}"
    if state and _is_out_of_time(folder):
        why = f"max_hours were over after step {state.step} of {state.total_steps}; --resume goes on from there"
        return End(STOPPED, 0, why, url)
    return End(FINISHED, 0, url=url)


def _is_out_of_time(folder: Path) -> bool:
    state = read_state(folder)
    return state is not None and state.stage == OUT_OF_TIME


def _leave_space(space_id: str, environment: Mapping[str, str], handover: Handover | None, end: End) -> Ended:
    """Tell on the Space how it ended, and pause it, unless a failed one is to stay or it is being stopped already."""
    api = open_api(token_of())
    project = handover.params.project_name if handover else environment.get("PROJECT_NAME", space_id)
    is_leaving = end.exit_code in _INTERRUPTED
    stays = not is_leaving and end.stage == FAILED and environment.get("PAUSE_ON_FAILURE", "1").strip().lower() in _NO
    try:
        space.tell(api, space_id, end, project, handover.run if handover else "")
    finally:
        if stays:
            log.notice(f"PAUSE_ON_FAILURE=0: the Space {space_id} is left running, and costs what it costs")
        elif not is_leaving:
            space.pause(api, space_id)
    return Ended(end.exit_code, is_left_running=stays)


@dataclass
class _Limit:
    is_over: bool = False


@contextmanager
def _limited(limit: _Limit, max_hours: float | None) -> Generator[None]:
    """Ask ourselves to stop when a run that ought to have ended goes on: a machine that hangs costs money."""

    def stop() -> None:
        limit.is_over = True
        os.kill(os.getpid(), signal.SIGTERM)

    if max_hours is None:
        yield
        return
    timer = threading.Timer(max_hours * 3600 + GRACE_SECONDS, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _terminable() -> Generator[None]:
    """SIGTERM raises Interrupted: the first process of a container would ignore it.  The main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted("stopped from outside", number)

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
