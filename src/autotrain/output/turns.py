"""One model, several answers at once: each has the model for a moment, then the next one."""

import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

_SLICE_SECONDS = 0.1


class Turns:
    """A lock that threads hand round in the order in which they asked."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._is_taken = False
        self._since = 0.0

    @contextmanager
    def turn(self) -> Generator[None]:
        """Wait for a turn, and have the model until the end, or until `is_over` said so and `wait_again` was called."""
        self._take()
        try:
            yield
        finally:
            self._leave()

    def is_over(self) -> bool:
        """Whether others wait, and whoever has the model had it long enough."""
        return bool(self._waiting) and time.monotonic() - self._since > _SLICE_SECONDS

    def wait_again(self) -> None:
        """Let the others have a turn each."""
        self._leave()
        self._take()

    def _take(self) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            self._changed.wait_for(lambda: not self._is_taken and self._waiting[0] is ticket)
            self._waiting.popleft()
            self._is_taken = True
            self._since = time.monotonic()

    def _leave(self) -> None:
        with self._changed:
            self._is_taken = False
            self._changed.notify_all()
