"""How each process of a run ended, noted in the folder that those of one machine share: their launcher reads it."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from autotrain.training.place import Place

_PATTERN = "rank-{}-{}.end"  # of a process, started so often


@dataclass(frozen=True)
class Ending:
    """code: exit code.  is_own: whether the cause lies here, rather than in another process that ended before.

    restart: how often it had been started anew.  when: seconds since the epoch.
    """

    rank: int
    restart: int
    code: int
    reason: str
    is_own: bool
    when: float


def note_ending(place: Place, code: int, reason: str, *, is_own: bool) -> None:
    """Write it, unless it was noted before: the first word counts."""
    file = place.folder / _PATTERN.format(place.local, place.restart)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        json.dump(asdict(Ending(place.local, place.restart, code, reason, is_own, time.time())), opened)


def read_endings(folder: Path, restart: int | None = None) -> list[Ending]:
    """Those noted after the `restart`-th start, None for the last of which there are any, by time."""
    endings: list[Ending] = []
    for file in folder.glob(_PATTERN.format("*", "*" if restart is None else restart)):
        try:
            endings.append(Ending(**json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            continue  # being written
    last = max((ending.restart for ending in endings), default=0)
    return sorted((ending for ending in endings if ending.restart == last), key=lambda ending: ending.when)


def first_cause(endings: Sequence[Ending]) -> Ending | None:
    """The ending that the others followed: the first failure that has its cause in itself, else the first failure."""
    failed = [ending for ending in endings if ending.code]
    own = [ending for ending in failed if ending.is_own]
    return next(iter(own or failed), None)


def wait_for_file(file: Path, place: Place, poll_seconds: float = 0.05) -> bool:
    """Wait until `file` is there; False if a process of this machine failed before."""
    while not file.exists():
        if any(ending.code for ending in read_endings(place.folder, place.restart)):
            return False
        time.sleep(poll_seconds)
    return True
