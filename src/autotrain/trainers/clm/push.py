"""What the worker does with the hub: the last check before training, the result afterwards, a checkpoint to go on from."""

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from autotrain import log
from autotrain.errors import HubError, Interrupted, PushError
from autotrain.hub.checkpoints import CheckpointPush, drop_checkpoints, pull_run
from autotrain.hub.client import account, open_api, token_of
from autotrain.hub.push import last_push, push_run
from autotrain.hub.repo import Target, check_push, make_target, target_of
from autotrain.run_folder import HUB_FILE, LOG_FILE
from autotrain.trainers.clm.params import LLMTrainingParams

# Weights are stored in half precision, adapters in full.
_WEIGHT_BYTES, _ADAPTER_BYTES = 2, 4


def open_target(params: LLMTrainingParams, *, num_parameters: int, num_trainable: int) -> Target | None:
    """Where the result goes, with a repository that waits for it; None if it stays here.

    Raises HubError for what can't work: nothing was trained yet, and nothing is written here.
    """
    if not (params.push_to_hub or params.push_checkpoints):
        return None
    is_adapter = params.peft and not params.merge_adapter
    return make_target(params, num_trainable * _ADAPTER_BYTES if is_adapter else num_parameters * _WEIGHT_BYTES)


def push_checkpoints(folder: Path, params: LLMTrainingParams, target: Target | None) -> CheckpointPush:
    """A context in which checkpoints of the run in `folder` go to the hub, if they are to."""
    if target is None or not params.push_checkpoints:
        return CheckpointPush(folder, None, None)
    return CheckpointPush(folder, target, token_of(params.token))


def push_result(folder: Path, params: LLMTrainingParams, target: Target, *, is_complete: bool) -> None:
    """Bring the result to the hub.  is_complete: no steps are left, so that checkpoints there are no longer needed.

    Raises PushError, or Interrupted: the model lies in `folder` all the same.
    """
    if not params.push_to_hub:
        return
    (folder / HUB_FILE).unlink(missing_ok=True)  # it spoke of an earlier result
    log_file = log.add_log_file(str(folder / LOG_FILE))
    try:
        _push(folder, params, target, is_complete=is_complete)
    except (PushError, Interrupted) as error:
        log.record(f"error: {error}")  # the terminal is told by who called us
        raise
    finally:
        log.remove_log_file(log_file)


def _push(folder: Path, params: LLMTrainingParams, target: Target, *, is_complete: bool) -> None:
    token = token_of(params.token)
    here = f"the model is complete in {folder.absolute()}"
    again = f"autotrain push {folder}"
    try:
        with _ended_by_sigterm():
            pushed = push_run(folder, target, token)
    except HubError as error:
        raise PushError(
            f"trained, but not pushed: {error}. Nothing is lost: {here}; once that is mended: {again}"
        ) from error
    except KeyboardInterrupt as error:
        number = signal.SIGTERM if isinstance(error, _Terminated) else signal.SIGINT
        raise Interrupted(f"trained; the upload was interrupted: {here}; take it up again: {again}", number) from error
    log.info(
        f"pushed: {pushed.url} ({'private' if target.private else 'public'} if it was made now), commit {pushed.commit}"
    )
    if params.push_checkpoints and is_complete:
        drop_checkpoints(target, token)


class _Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


@contextmanager
def _ended_by_sigterm() -> Generator[None]:
    """Inside, SIGTERM interrupts as Ctrl-C does, so that it is said where the model lies."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread receives signals
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def push_unpushed(folder: Path, params: LLMTrainingParams) -> bool:
    """Push a finished run that never got to the hub; returns whether there was something to do.

    Raises HubError, PushError or Interrupted.
    """
    if not params.push_to_hub or last_push(folder) is not None:
        return False
    push_result(folder, params, check_push(params), is_complete=True)
    return True


def pull_checkpoint(folder: Path, params: LLMTrainingParams) -> int | None:
    """Fetch the checkpoint that an earlier machine pushed, if this run pushes any; returns its step.

    Raises HubError, or RunFolderError if it is of a run with other parameters.
    """
    if not params.push_checkpoints:
        return None
    from autotrain.trainers.clm.record import check_same_run  # torch comes with it

    token = token_of(params.token)
    target = target_of(params, account(open_api(token)))
    return pull_run(target, folder, token, params, check=lambda pulled: check_same_run(pulled, params, str(target)))
