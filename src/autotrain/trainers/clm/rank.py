"""What a worker does first and last when it is one of several processes of a run."""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from autotrain import log
from autotrain.errors import Interrupted, PeerError, UserError
from autotrain.training.ending import Ending, note_ending, read_endings
from autotrain.training.place import FOLDER_VARIABLE, Place, find_place

_PR_SET_PDEATHSIG = 1
_PID_FILE = "rank-{}.pid"
# Exit codes of what starting anew doesn't mend: a mistake in what was asked for, and signals to stop.
_FINAL = (2, 130, 143)


def begin() -> Place | None:
    """Take this process's place among the others; None for a run of one process."""
    place = find_place()
    if place is None:
        return None
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # of its insides, at the end of each run
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not place.leads:
        os.environ["RANK"] = str(max(1, place.local))  # the log of all but the leader stays silent
    else:
        os.environ["RANK"] = "0"
    (place.folder / _PID_FILE.format(place.local)).write_text(str(os.getpid()), encoding="ascii")
    if is_launched_by_us() and sys.platform.startswith("linux"):
        # The launcher may be killed: save and leave.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    return place


def process_numbers(folder: "os.PathLike[str]") -> list[int]:
    """Of the processes of this machine that have begun."""
    numbers: list[int] = []
    for entry in os.scandir(folder):
        if entry.name.startswith("rank-") and entry.name.endswith(".pid"):
            with open(entry.path, encoding="ascii") as file:
                text = file.read()
            if text.isdecimal():
                numbers.append(int(text))
    return numbers


def forget_processes(folder: Path) -> None:
    """Of a start that is over."""
    for file in folder.glob("rank-*.pid"):
        file.unlink(missing_ok=True)


def is_launched_by_us() -> bool:
    """Whether our own launcher tells the user how it ended, rather than somebody else's torchrun."""
    return FOLDER_VARIABLE in os.environ


def cannot_be_helped(place: Place) -> bool:
    """Whether the start before ended for a reason that starting anew doesn't mend."""
    return is_final(read_endings(place.folder, place.restart - 1)) if place.restart else False


def is_final(endings: Sequence[Ending]) -> bool:
    """Whether one of a start's endings is the user's mistake, or his wish."""
    return any(ending.code in _FINAL for ending in endings)


def end(place: Place, error: BaseException | None, code: int, reason: str) -> int:
    """Note how this process ended; returns its exit code.

    To our launcher, which starts processes anew where that may help, one that needs no new start ends well.
    """
    note_ending(place, code, log.mask(reason), is_own=not isinstance(error, PeerError))
    if place.nodes > 1 and code and not isinstance(error, PeerError):
        from autotrain.training.meeting import tell_ending

        tell_ending(place, code, log.mask(reason))
    if not is_launched_by_us():
        return code
    return 0 if code in _FINAL or isinstance(error, Interrupted | UserError) else code
