"""A worker and its launcher: signals go down, the exit code comes up, and neither outlives the other unseen."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Literal

from autotrain import log
from autotrain.runs.processes import belonging_to, find_process, send

# prctl's 1 is PR_SET_PDEATHSIG.  Who has no longer the parent that it was started by, came too late.
# Python would only note a SIGINT that comes just before execv, and the note goes with it.
_DIE_WITH_PARENT = """\
import ctypes, os, signal, sys
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
ctypes.CDLL(None).prctl(1, int(signal.SIGTERM), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    os._exit(128 + signal.SIGTERM)
if sys.argv[2] == "later":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
os.execv(sys.argv[3], sys.argv[3:])
"""
_FORWARDED = (signal.SIGINT, signal.SIGTERM)


def dying_with_us(command: Sequence[str], *, interrupt: Literal["now", "later"] = "now") -> list[str]:
    """`command`, so that SIGTERM (save and leave) reaches it when the thread that starts it ends, or this process dies.

    Linux only; elsewhere as it is.  A program in front of it asks the system for that and then becomes it, for the
    code between fork and exec (`preexec_fn`) may wait for ever for a lock that another thread holds: huggingface_hub has
    some there, for its connections.
    interrupt: when SIGINT reaches it; "later": once it unblocks the signal, instead of as a traceback from its imports.
    """
    if not sys.platform.startswith("linux"):
        return [*command]
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), interrupt, *command]


class Child:
    """A worker that leads a group of its own, and the signals that go to it from us.

    The first SIGINT or SIGTERM is passed on, and the worker saves and leaves; the second ends it at once.
    A closed terminal (SIGHUP) asks it to save and leave too, and never more than that, unless we run under nohup.
    Ctrl-Z pauses both, and both go on together.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[tuple[Callable[[int, None], None], int]] = []
        self._num_asked = 0
        self._has_hung_up = False

    def begin(self, process: "subprocess.Popen[bytes]") -> None:
        """It is this one.  What came before is passed on now."""
        self._process = process
        while self._early:
            handler, number = self._early.pop(0)
            handler(number, None)

    def wait(self) -> int:
        """Wait for the worker and return its exit code, 128 + n if signal n ended it."""
        assert self._process, "begin comes first"
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def ask(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGINT and SIGTERM."""
        if self._process is None:
            self._early.append((self.ask, number))
            return
        self._num_asked += 1
        if self._process.returncode is not None:
            return
        if self._num_asked > 1:
            self._send_to_all(signal.SIGKILL)
            return
        if not self._has_hung_up:
            self._process.send_signal(number)
        log.info("stopping: the worker saves its state; once more ends it at once, without saving")

    def hang_up(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGHUP."""
        if self._process is None:
            self._early.append((self.hang_up, number))
            return
        if not self._num_asked and not self._has_hung_up and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        self._has_hung_up = True

    def pause(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGTSTP."""
        self._send_to_all(signal.SIGSTOP)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # we stop in this line, until SIGCONT (fg, bg)
        signal.signal(signal.SIGTSTP, self.pause)
        self._send_to_all(signal.SIGCONT)

    def repeat_early(self) -> None:
        """Without a worker, what came for it is ours."""
        for _, number in self._early:
            os.kill(os.getpid(), number)

    def _send_to_all(self, number: signal.Signals) -> None:
        """To its group, and to what it started elsewhere: torchrun gives each process a session of its own."""
        if not self._process or self._process.returncode is not None:
            return
        root = find_process(self._process.pid)
        others = belonging_to(root) if root else {}
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        for one in others.values():
            if one.group != self._process.pid:
                with suppress(PermissionError):
                    send(one, number)


@contextmanager
def signals_for_a_child() -> Generator[Child]:
    """The signals that reach this process go to the worker that is to begin inside; those that come before that, then.

    Only the main thread receives signals: in another one nothing is passed on.
    """
    child = Child()
    if threading.current_thread() is not threading.main_thread():
        yield child
        return
    previous = {number: signal.signal(number, child.ask) for number in _FORWARDED}
    # What a shell (nohup, or one without job control) has ignored stays so.
    for number, handler in ((signal.SIGHUP, child.hang_up), (signal.SIGTSTP, child.pause)):
        if signal.getsignal(number) == signal.SIG_DFL:
            previous[number] = signal.signal(number, handler)
    try:
        yield child
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        child.repeat_early()
