"""Signs of life between the processes of a run, so that one that dies or hangs ends all of them, and is named.

A thread in each process says once a second that it lives and how far it is, and looks at what the others say.  When one has
failed, the rest can only wait for it in vain: after a short time to fail by themselves they are ended here.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch.distributed as dist

_BEAT_SECONDS = 1.0
# What a process gets to end by itself, with its own words, after another has failed.
_GRACE_SECONDS = 4.0
_SILENT_SECONDS = 30.0  # of a machine that is no longer there
_ORPHAN_SECONDS = 60.0  # after the launcher is gone: it was asked to save and leave
_STORE_SECONDS = 10.0


@dataclass
class _Peer:
    """What was last heard of another process, and when it was heard first (monotonic seconds)."""

    word: bytes = b""
    heard: float = field(default_factory=time.monotonic)
    mark: int = -1
    step: int = 0


class Pulse:
    """A context manager.  `tick` says that something was done; on_failure: hears why this process is ended, before it is."""

    def __init__(
        self,
        host: str,
        port: int,
        prefix: str,
        rank: int,
        total: int,
        hang_seconds: float,
        on_failure: Callable[[str], None],
        leave: Callable[[int], None] = os._exit,
        silent_seconds: float = _SILENT_SECONDS,
    ) -> None:
        self._store = open_store(host, port)
        self._prefix, self._rank, self._total = prefix, rank, total
        self._hang_seconds, self._silent_seconds = hang_seconds, silent_seconds
        self._on_failure, self._leave_with = on_failure, leave
        self._mark = self.step = 0
        self._last_mark = -1
        self._moved = time.monotonic()
        self._peers = {other: _Peer() for other in range(total) if other != rank}
        self._parent, self._orphaned = os.getppid(), 0.0
        self._ended = threading.Event()
        self._failed_at: float | None = None
        self._failure = ""
        self._say()
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._ended.set()
        self._thread.join()
        word = "done" if error is None else f"failed {error}"[:1000]
        self._set(f"end/{self._rank}", word)

    def tick(self, step: int | None = None) -> None:
        """Something was done."""
        self._mark += 1
        self.step = self.step if step is None else step

    def failure_now(self) -> str:
        """Why another process ended, "" where none did as far as is known."""
        return self._failure

    def failure_elsewhere(self) -> str:
        """Why another process ended, "" where none did; waits a moment for the news."""
        end = time.monotonic() + _GRACE_SECONDS / 2
        while not self._failure and time.monotonic() < end:
            time.sleep(_BEAT_SECONDS / 10)
        return self._failure

    def _say(self) -> None:
        self._set(f"pulse/{self._rank}", f"{time.monotonic_ns()} {self._mark} {self.step}")

    def _set(self, name: str, value: str) -> None:
        try:
            self._store.set(f"{self._prefix}/{name}", value)
        except (RuntimeError, dist.DistError):
            self._lost_store()

    def _lost_store(self) -> None:
        if not self._failure:
            self._failure = "machine 0, through which the processes find each other, can't be reached any more"

    def _watch(self) -> None:
        asleep = time.monotonic()
        while not self._ended.wait(_BEAT_SECONDS):
            if time.monotonic() - asleep > 3 * _BEAT_SECONDS:
                self._begin_anew()
            self._say()
            now = time.monotonic()
            if not self._failure:
                self._failure = self._look(now) or ""
            if self._failure:
                self._failed_at = self._failed_at or now
                if now - self._failed_at >= self._grace_seconds():
                    self._leave()
            asleep = time.monotonic()

    def _begin_anew(self) -> None:
        """We stood still, and the others with us, maybe (a suspended job, a machine asleep): they are heard from now on."""
        self._moved = now = time.monotonic()
        for peer in self._peers.values():
            peer.heard = now

    def _grace_seconds(self) -> float:
        """With its launcher the store is gone too, but then this process was asked to save, and that may take its time."""
        return _GRACE_SECONDS if os.getppid() == self._parent else _ORPHAN_SECONDS

    def _look(self, now: float) -> str | None:
        """What is wrong with the others, or None."""
        try:
            for other, peer in self._peers.items():
                if self._store.check([f"{self._prefix}/end/{other}"]):
                    word = self._store.get(f"{self._prefix}/end/{other}").decode(errors="replace")
                    if word.startswith("failed"):
                        return f"process {other} of {self._total} failed: {word.removeprefix('failed ')}"
                    peer.heard = now
                    continue
                if not self._store.check([f"{self._prefix}/pulse/{other}"]):
                    continue
                word = self._store.get(f"{self._prefix}/pulse/{other}")
                if word != peer.word:
                    _, mark, step = word.split()
                    if int(mark) != peer.mark:
                        self._moved = now
                    peer.word, peer.heard, peer.mark, peer.step = word, now, int(mark), int(step)
                elif now - peer.heard > self._silent_seconds:
                    return f"process {other} of {self._total} has given no sign of life for {now - peer.heard:.0f} s"
        except (RuntimeError, dist.DistError):
            self._lost_store()
            return self._failure
        return self._hung(now) or self._orphan(now)

    def _hung(self, now: float) -> str | None:
        if self._last_mark != self._mark:
            self._last_mark, self._moved = self._mark, now
        if now - self._moved <= self._hang_seconds:
            return None
        steps = {self._rank: self.step} | {other: peer.step for other, peer in self._peers.items()}
        told = ", ".join(f"process {rank}: step {step}" for rank, step in sorted(steps.items()))
        return (
            f"nothing has moved for {self._hang_seconds / 60:g} min (hang_minutes), though all processes live; {told}. "
            "A network or a device that stopped answering does this"
        )

    def _orphan(self, now: float) -> str | None:
        if os.getppid() == self._parent:
            return None
        self._orphaned = self._orphaned or now
        return "the launcher is gone" if now - max(self._orphaned, self._moved) > _ORPHAN_SECONDS else None

    def _leave(self) -> None:
        """End this process: its main thread waits for another one and can't be called back."""
        try:
            self._on_failure(self._failure)
            sys.stderr.flush()
            sys.stdout.flush()
        finally:
            self._ended.set()
            self._leave_with(1)


def open_store(host: str, port: int) -> dist.TCPStore:
    """A connection of its own to the store that machine 0's launcher keeps."""
    return dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=_STORE_SECONDS))
