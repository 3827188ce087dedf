"""A log that comes over the network: opened anew when it is cut, and no line said twice."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from autotrain import log
from autotrain.errors import HubError
from autotrain.hub.client import fault_of

POLL_SECONDS = 5.0
# What is still on its way when a run is over.
DRAIN_SECONDS = 3.0
# How long the hub may be out of reach before we give up asking.
PATIENCE_SECONDS = 600.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 30.0


class _Pump(threading.Thread):
    """Reads a stream into a queue.  Each opening gives the log from its start, so what was seen is skipped."""

    def __init__(self, open_stream: Callable[[], Iterable[str]]) -> None:
        super().__init__(daemon=True, name="cloud-log")
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._open = open_stream
        self._seen: list[str] = []
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self._stopped.is_set():
            num_seen = len(self._seen)
            try:
                self._read()
            except (HubError, OSError) as problem:
                log.record(f"the log was cut ({problem}); it is opened anew")
            has_news = len(self._seen) != num_seen
            wait_seconds = _FIRST_WAIT_SECONDS if has_news else min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
            self._stopped.wait(wait_seconds)

    def _read(self) -> None:
        """Take what is new.  Where the log differs from what was seen, it is another one, of a machine started anew."""
        is_known = True
        for index, line in enumerate(self._open()):
            if self._stopped.is_set():
                return
            is_known = is_known and index < len(self._seen) and self._seen[index] == line
            if is_known:
                continue
            del self._seen[index:]
            self._seen.append(line)
            self.lines.put(line)


def follow_lines(
    open_stream: Callable[[], Iterable[str]],
    is_over: Callable[[], bool],
    *,
    poll_seconds: float = POLL_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Iterator[str]:
    """Lines as they come, until `is_over` says so and nothing more comes.

    Raises what `is_over` raises (HubError) once that has lasted for `patience_seconds`, or twice in a row where waiting
    can't help: a token that has expired.
    """
    pump = _Pump(open_stream)
    pump.start()
    drain_seconds = min(DRAIN_SECONDS, 2 * poll_seconds)
    asked = heard = worked = time.monotonic()
    over, num_refusals = False, 0
    try:
        while True:
            try:
                yield pump.lines.get(timeout=min(poll_seconds, drain_seconds) / 4)
                heard = time.monotonic()
                continue
            except queue.Empty:
                now = time.monotonic()
            if over and now - heard >= drain_seconds:
                return
            if not over and now - asked >= poll_seconds:
                asked = now
                try:
                    over, worked, num_refusals = is_over(), now, 0
                    heard = now if over else heard
                except HubError as problem:
                    fault = fault_of(problem)
                    num_refusals += 1 if fault and not fault.may_pass else 0
                    if num_refusals > 1 or now - worked >= patience_seconds:
                        raise
    finally:
        pump.stop()
