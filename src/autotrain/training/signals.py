"""Ctrl-C and SIGTERM: the first asks the loop to save and leave, the second leaves at once."""

import signal
from types import FrameType, TracebackType
from typing import Any


class StopSignal:
    """Context manager that catches SIGINT and SIGTERM.  `number`: the signal that arrived, or None."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number

    def asked(self) -> bool:
        """Whether a signal has arrived."""
        return self.number is not None
