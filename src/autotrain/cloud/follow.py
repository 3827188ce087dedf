"""Following a run in the cloud from the terminal that started it, until its end or Ctrl-C."""

import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from autotrain import log
from autotrain.cloud.report import FAILED, End, read_end_line
from autotrain.cloud.service import FINISHED, STOPPED, CloudState, Service
from autotrain.errors import HubError, TrainingError

# What a machine takes to switch itself off after its last line.
SETTLE_SECONDS = 90.0
_POLL_SECONDS = 2.0
_NO = ("0", "false", "no", "off")


@dataclass(frozen=True)
class Followed:
    """exit_code: of the run, None if it goes on without us.  reason: "" if all went well."""

    exit_code: int | None
    reason: str = ""


def commands_for(name: str) -> str:
    """How to follow and to stop a run that is in the list of runs as `name`."""
    return f"follow it: autotrain runs logs -f {name}; stop it: autotrain runs stop {name}"


def follow(service: Service, job_id: str, name: str, *, settle_seconds: float = SETTLE_SECONDS) -> Followed:
    """Write the run's log to standard output until it is over, and make sure that it costs nothing afterwards.

    name: of the run in the list of runs.  Ctrl-C, or a hub out of reach, leaves the run as it is.
    """
    end = None
    try:
        end = _show(service.logs(job_id, True))
        state = _settle(service, job_id, end, settle_seconds)
    except KeyboardInterrupt:
        log.info(f"{_unwatched(job_id, name, end)}; {commands_for(name)}")
        return Followed(end.exit_code, end.reason) if end else Followed(None)
    except HubError as problem:
        log.error(f"{problem}; {_unwatched(job_id, name, end)}; {commands_for(name)}")
        return Followed(end.exit_code, end.reason) if end else Followed(None, str(problem))
    return _outcome(state, end)


def _unwatched(job_id: str, name: str, end: End | None) -> str:
    """What becomes of a machine that we look at no longer."""
    if end is None:
        return f"{name} goes on without us at {job_id}, and costs until it ends"
    return f"{name} has ended, and {job_id} may not have switched itself off yet"


def _show(lines: Iterable[str]) -> End | None:
    """Write lines as they come; the one that tells the end is returned instead."""
    for line in lines:
        end = read_end_line(line)
        if end is not None:
            return end
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return None


def _settle(service: Service, job_id: str, end: End | None, settle_seconds: float) -> CloudState:
    """Wait until the machine is off, and switch it off if it doesn't do so by itself."""
    deadline = time.monotonic() + settle_seconds
    state = service.state(job_id)
    stays = end is not None and end.stage == FAILED and os.environ.get("PAUSE_ON_FAILURE", "1").strip().lower() in _NO
    while not (state.is_over if stays else state.is_off) and time.monotonic() < deadline:
        time.sleep(min(_POLL_SECONDS, settle_seconds))
        state = service.state(job_id)
    if state.is_off:
        return state
    if stays:
        log.notice(f"PAUSE_ON_FAILURE=0: {job_id} is left running, and costs what it costs")
        return state
    log.notice(f"{job_id} didn't switch itself off; it is stopped from here")
    service.stop(job_id)
    return service.state(job_id)


def _outcome(state: CloudState, end: End | None) -> Followed:
    if end is not None:
        if end.url:
            # The worker's own hints in the log name a folder that was the machine's.
            log.info(f"the model is at {end.url}; from here: autotrain chat (or score) NAME/PROJECT")
        return Followed(end.exit_code, end.reason)
    if state.stage == FINISHED:
        return Followed(0)
    if state.stage == STOPPED:
        why = f" ({state.detail})" if state.detail else ""
        return Followed(TrainingError.exit_code, f"it was stopped before its end{why}; see {state.url}")
    return Followed(TrainingError.exit_code, f"{state.detail or 'it ended without a word'}; see {state.url}")
