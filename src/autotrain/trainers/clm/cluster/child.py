"""The worker process that a Ray worker starts, and what is known of it."""

import codecs
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from autotrain.errors import REASON_FILE_VARIABLE
from autotrain.trainers.clm.cluster.desk import Said
from autotrain.trainers.clm.crew import death
from autotrain.training.ending import Ending, read_endings

_MAX_READ = 1 << 16


class _Numbers(Protocol):
    """Of a process among the others."""

    @property
    def rank(self) -> int: ...
    @property
    def local(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def folder(self) -> Path: ...


class Child:
    """A worker process whose output is kept until `said` is called."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], place: Path, numbers: _Numbers) -> None:
        self._numbers = numbers
        self._reason_file = Path(environment[REASON_FILE_VARIABLE])
        self._asked: int | None = None
        self._is_victim = False
        self._said: list[Said] = []
        self._lock = threading.Lock()
        # From the thread that stays: the child gets SIGTERM when the thread that made it ends.  Ray blocks SIGINT, and what
        # is blocked in a process is blocked in its children.
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
        self._process = subprocess.Popen(
            command, env=environment, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        assert self._process.stdout is not None and self._process.stderr is not None
        streams = ((self._process.stdout, False), (self._process.stderr, True))
        self._readers = [threading.Thread(target=self._read, args=stream, daemon=True) for stream in streams]
        for reader in self._readers:
            reader.start()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def ask(self, number: int) -> None:
        """Pass a signal on, once."""
        if self._asked is None:
            self._asked = number
            self._process.send_signal(number)

    def leave(self, seconds: float) -> None:
        """Have it save and leave, for nobody listens any more."""
        self.ask(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def end(self) -> None:
        """By force, for it waits in vain for another one."""
        self._is_victim = True
        self._process.kill()

    def said(self) -> list[Said]:
        """Since the last time."""
        with self._lock:
            said, self._said = self._said, []
        return said

    def ending(self, asked: int | None) -> Ending:
        """How it ended.  asked: the signal that the run was asked to end with."""
        code = self._process.wait()
        for reader in self._readers:
            reader.join(5)
        numbers = self._numbers
        for ending in read_endings(numbers.folder, numbers.attempt):
            if ending.rank == numbers.local:
                return Ending(numbers.rank, numbers.attempt, ending.code, ending.reason, ending.is_own, ending.when)
        reason = ""
        with suppress(OSError):
            reason = self._reason_file.read_text(encoding="utf-8")
        if not reason and code and asked is not None:
            code, reason = 128 + asked, "interrupted; what was not saved yet is lost"
        elif not reason and code:
            code, reason = 1, f"process {numbers.rank} {death(code)}"
        return Ending(numbers.rank, numbers.attempt, code, reason, not self._is_victim, time.time())

    def _read(self, stream: IO[bytes], is_error: bool) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while data := os.read(stream.fileno(), _MAX_READ):
            text = decoder.decode(data)
            with self._lock:
                self._said.append(Said(text, is_error))
