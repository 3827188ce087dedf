"""What a page shows follows what happens, as long as the page is there."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from nicegui import background_tasks, context

from autotrain.errors import RunFolderError

Watch = Callable[[Callable[[], None]], Callable[[], None]]
T = TypeVar("T")


class Follower(Generic[T]):
    """Reads in a thread, so that nobody waits for a disk, and shows it in the page being built: soon, and at each change."""

    def __init__(self, read: Callable[[], T], show: Callable[[T], None], lost: Callable[[], None]) -> None:
        """read: must not touch the page.  lost: called instead of `show`, once, when a run isn't in the list any more."""
        self._read, self._show, self._lost = read, show, lost
        self._client, self._place = context.client, context.slot
        self._is_reading = self._is_asked = self._has_ended = False
        self._cancels: list[Callable[[], None]] = []
        self._client.on_delete(self._end)
        self.refresh()

    def watch(self, *watches: Watch) -> "Follower[T]":
        """Refresh when what these look at changes."""
        self._cancels += [watch(self.refresh) for watch in watches]
        return self

    def refresh(self) -> None:
        """Read and show; one that is asked for meanwhile comes after it."""
        self._is_asked = True
        if not self._is_reading and not self._has_ended:
            self._is_reading = True
            background_tasks.create(self._follow())

    async def _follow(self) -> None:
        try:
            while self._is_asked and not self._has_ended:
                self._is_asked = False
                await self._read_and_show()
        finally:
            self._is_reading = False

    async def _read_and_show(self) -> None:
        try:
            found = await asyncio.to_thread(self._read)
        except RunFolderError:
            self._end()
            with self._place:
                self._lost()
            return
        if self._client.is_deleted:
            return self._end()
        with self._place:
            self._show(found)

    def _end(self) -> None:
        self._has_ended = True
        while self._cancels:
            self._cancels.pop()()


def follow(watch: Watch, update: Callable[[], None], lost: Callable[[], None]) -> None:
    """Call `update` in the page that is being built when what `watch` looks at changed; for what is at hand at once.

    lost: is called instead, once, when the run isn't in the list any more.
    """
    client, place = context.client, context.slot
    cancels: list[Callable[[], None]] = []

    def end() -> None:
        while cancels:
            cancels.pop()()

    def changed() -> None:
        if client.is_deleted:
            return end()
        with place:
            try:
                update()
            except RunFolderError:
                end()
                lost()

    cancels.append(watch(changed))
    client.on_delete(end)
