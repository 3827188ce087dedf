"""A log that comes over the network: opened anew when it is cut, and no line said twice."""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from autotrain import log
from autotrain.errors import HubError
from autotrain.hub.client import fault_of

POLL_SECONDS = 5.0
# How long the log of a run that is over may be silent before we take it for the whole; one that ends is the whole.
_DRAIN_SECONDS = 10.0
_LOOK_SECONDS = 0.5
# How long the hub may be out of reach before we give up asking.
PATIENCE_SECONDS = 600.0
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 30.0


class _Pump(threading.Thread):
    """Reads a stream into a queue.  Each opening gives the log from its start, so what was seen is skipped.

    is_complete: is set once a reading that began after `finish` has come to the log's end.
    """

    def __init__(self, open_stream: Callable[[], Iterable[str]]) -> None:
        super().__init__(daemon=True, name="cloud-log")
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._open = open_stream
        self._seen: list[str] = []
        self.is_complete = threading.Event()
        self._finishing, self._stopped, self._hurry = threading.Event(), threading.Event(), threading.Event()

    def finish(self) -> None:
        """Nothing more is written: read it once more, and at once if it isn't being read."""
        self._finishing.set()
        self._hurry.set()

    def stop(self) -> None:
        self._stopped.set()
        self._hurry.set()

    def run(self) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self._stopped.is_set():
            num_seen, is_last = len(self._seen), self._finishing.is_set()
            try:
                self._read()
            except (HubError, OSError) as problem:
                log.record(f"the log was cut ({problem}); it is opened anew")
            else:
                if is_last:
                    return self.is_complete.set()
            has_news = len(self._seen) != num_seen
            wait_seconds = _FIRST_WAIT_SECONDS if has_news else min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
            self._hurry.wait(wait_seconds)
            self._hurry.clear()  # `finish` and `stop` are seen above

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
    """Lines as they come, until `is_over` says so and all that was written is read, or nothing more comes.

    Raises what `is_over` raises (HubError) once that has lasted for `patience_seconds`, or twice in a row where waiting
    can't help: a token that has expired.
    """
    pump = _Pump(open_stream)
    pump.start()
    asked = heard = worked = time.monotonic()
    over, num_refusals = False, 0
    try:
        while True:
            is_complete = pump.is_complete.is_set()  # asked first: what it has read is in the queue
            try:
                yield pump.lines.get(timeout=min(poll_seconds / 4, _LOOK_SECONDS))
                heard = time.monotonic()
                continue
            except queue.Empty:
                now = time.monotonic()
            if is_complete or (over and now - heard >= _DRAIN_SECONDS):
                return
            if not over and now - asked >= poll_seconds:
                asked = now
                try:
                    over, worked, num_refusals = is_over(), now, 0
                    if over:
                        heard = time.monotonic()  # the hub's answer took its time
                        pump.finish()
                except HubError as problem:
                    fault = fault_of(problem)
                    num_refusals += 1 if fault and not fault.may_pass else 0
                    if num_refusals > 1 or now - worked >= patience_seconds:
                        raise
    finally:
        pump.stop()
