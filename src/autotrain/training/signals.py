"""Ctrl-C, SIGTERM and a closed terminal: the first asks the loop to save and leave, a second Ctrl-C leaves at once.

SIGTERM and SIGHUP only ask, however often: a machine that goes down sends one to the launcher and one to us, and the
launcher passes its own on.
"""

import signal
from types import FrameType, TracebackType
from typing import Any


class StopSignal:
    """Context manager that catches SIGINT, SIGTERM and SIGHUP.  `number`: the signal that arrived first, or None.

    A closed terminal counts as SIGTERM; under nohup it doesn't count.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        caught = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            caught.append(signal.SIGHUP)
        for number in caught:
            self._previous[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = signal.SIGTERM if number == signal.SIGHUP else number
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    def asked(self) -> bool:
        """Whether a signal has arrived."""
        return self.number is not None
