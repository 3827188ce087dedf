"""Telling those that look when what they look at has changed: one look at the files, however many look."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from autotrain.errors import AutoTrainError

_POLL_SECONDS = 0.25

Callback = Callable[[], None]


class Watched(Protocol):
    """Something that changes.  signature: differs when it did.  forget_view: called then.

    pause_seconds: between two looks.
    """

    pause_seconds: float

    def signature(self) -> tuple[object, ...]: ...

    def forget_view(self) -> None: ...


class Watches:
    """Who watches what.  Used in one event loop."""

    def __init__(self) -> None:
        self.is_closed = False
        self._callbacks: dict[Watched, list[Callback]] = {}
        self._streams: set[Callback] = set()
        self._task: asyncio.Task[None] | None = None

    def watch(self, what: Watched, callback: Callback) -> Callback:
        """Returns what ends it, for whoever asks once or twice."""
        self._callbacks.setdefault(what, []).append(callback)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._poll())

        def cancel() -> None:
            left = self._callbacks.get(what, [])
            with contextlib.suppress(ValueError):
                left.remove(callback)
            if not left:
                self._callbacks.pop(what, None)

        return cancel

    def has(self, what: Watched) -> bool:
        return what in self._callbacks

    def add_stream(self, wake: Callback) -> Callback:
        """Have `wake` called when the server ends: who streams looks at `is_closed` then.  Returns what undoes it."""
        self._streams.add(wake)
        return lambda: self._streams.discard(wake)

    def close(self) -> None:
        """In the event loop.  Once closed it stays so."""
        self.is_closed = True
        for wake in self._streams:
            wake()
        self._callbacks.clear()
        if self._task is not None:
            self._task.cancel()

    async def _poll(self) -> None:
        """As long as anybody watches.  Looks are taken in a thread, and callbacks called in the loop."""
        last: dict[Watched, tuple[float, tuple[object, ...]]] = {}
        while self._callbacks:
            started = time.monotonic()
            for what in list(self._callbacks):
                looked, before = last.get(what, (0.0, ()))
                if started - looked < what.pause_seconds:
                    continue
                signature = await _look(what)
                # At the first look too: something may have changed since whoever watches looked himself.
                if before != signature:
                    self._tell(what)
                last[what] = (started, signature)
            last = {what: seen for what, seen in last.items() if what in self._callbacks}
            await asyncio.sleep(max(0.05, _POLL_SECONDS - (time.monotonic() - started)))

    def _tell(self, what: Watched) -> None:
        what.forget_view()
        for callback in list(self._callbacks.get(what, ())):
            # So that one that fails is reported, and the others are called all the same.
            asyncio.get_running_loop().call_soon(callback)


async def _look(what: Watched) -> tuple[object, ...]:
    """A signature; of what can't be looked at, why."""
    try:
        return await asyncio.to_thread(what.signature)
    except (AutoTrainError, OSError) as problem:
        return (str(problem),)
