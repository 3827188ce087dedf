"""Logs that are read while they are written, as server-sent events."""

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from hub_double.protocol import now

if TYPE_CHECKING:
    from hub_double.double import HubDouble


class LogBook:
    """The lines that a machine has printed, with the time of each."""

    def __init__(self, hub: "HubDouble") -> None:
        self.hub = hub
        self.entries: list[tuple[str, str]] = []

    @property
    def lines(self) -> list[str]:
        return [text for _, text in self.entries]

    def add(self, text: str) -> None:
        with self.hub.changed:
            self.entries += [(now(), line) for line in text.rstrip("\n").split("\n")]
            self.hub.changed.notify_all()

    def follow(self, is_open: Callable[[], bool], last: int | None = None) -> Iterator[bytes]:
        """Events from the beginning (or the `last` ones), then each new one, until `is_open` says no."""
        sent = 0 if last is None else max(0, len(self.entries) - last)
        while True:
            with self.hub.changed:
                fresh, still_open = self.entries[sent:], is_open() and not self.hub.closed
                if not fresh and still_open:
                    self.hub.changed.wait(self.hub.keep_alive_seconds)
                    fresh, still_open = self.entries[sent:], is_open() and not self.hub.closed
            sent += len(fresh)
            for time, text in fresh:
                yield f"data: {json.dumps({'data': text, 'timestamp': time})}\n\n".encode()
            if not still_open and not fresh:
                return
            if not fresh:
                yield b": keep-alive\n\n"
