"""All runs, and who looks at which: one look at the folders serves everybody."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from autotrain import log
from autotrain.app.feeds.known import Known, file_signature
from autotrain.app.feeds.run_feed import RunFeed
from autotrain.app.feeds.view import RunView, place_in_queue, view_of
from autotrain.app.feeds.watch import Watches
from autotrain.errors import AutoTrainError
from autotrain.run_folder import METRICS_FILE, STATE_FILE
from autotrain.runs import Entry, look_at
from autotrain.runs.parameters import raw_parameters

# A run that nobody looked at for so long gives its memory back.
_IDLE_SECONDS = 120.0
_CLOSE_SECONDS = 2.0

Seen = tuple[object, ...]


class Feeds:
    """See the package.  is_stopping: whether a run was told to stop."""

    pause_seconds = 0.7

    def __init__(self, is_stopping: Callable[[int], bool] = lambda _: False) -> None:
        self._known = Known()
        self._is_stopping = is_stopping
        self._lock, self._list_lock = threading.Lock(), threading.Lock()
        self._feeds: dict[int, tuple[float, RunFeed]] = {}
        self._ended: dict[int, tuple[Seen, RunView]] = {}
        self._watches = Watches()
        self._first_look: threading.Thread | None = None

    def start(self) -> None:
        """Look at all runs once, so that the first who asks for the list has it at once."""
        self._first_look = threading.Thread(target=self._look_once, name="first look", daemon=True)
        self._first_look.start()

    def run(self, number: int) -> RunFeed:
        """The run with this number, shared.  Raises RunFolderError if there's none, at its first use."""
        now = time.monotonic()
        with self._lock:
            feed = self._feeds.get(number, (now, None))[1]
            if feed is None:
                feed = RunFeed(number, self._known, self._is_stopping, self._watches)
            self._feeds[number] = (now, feed)
            for other in [key for key, (used, one) in self._feeds.items() if self._is_idle(now - used, one)]:
                del self._feeds[other]
            return feed

    def list(
        self, query: str = "", stages: Collection[str] = (), offset: int = 0, limit: int = 50
    ) -> tuple[int, list[RunView]]:
        """How many runs there are, the latest first, and those from `offset` on.

        query: words that name, base model, method, backend or notes hold.  stages: none for all.
        Raises RunFolderError if the registry can't be read.
        """
        words = query.casefold().split()
        found = [one for one in self.all() if (not stages or one.stage in stages) and _matches(one, words)]
        return len(found), found[offset : offset + limit]

    def all(self) -> Sequence[RunView]:
        """All runs, the latest first."""
        with self._list_lock:  # who comes while others look has what they saw
            return self._look_at_all(self._known.entries())

    def _look_at_all(self, entries: Sequence[Entry]) -> Sequence[RunView]:
        views = [self._view(entry, entries) for entry in entries]
        if len(self._ended) > len(entries):
            numbers = {entry.id for entry in entries}
            self._ended = {number: seen for number, seen in self._ended.items() if number in numbers}
        return views

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` in the running event loop when any run changed, about once a second; returns what ends that."""
        return self._watches.watch(self, callback)

    def close(self) -> None:
        """Watch nothing any more, and let streams end."""
        self._watches.close()
        if self._first_look:
            self._first_look.join(_CLOSE_SECONDS)

    # For Watches

    def signature(self) -> tuple[object, ...]:
        """Differs when a run came, went, or went on."""
        entries = self._known.entries()
        live = [entry for entry in entries if not self._has_ended(entry)]
        return entries, *((_seen(entry), file_signature(str(entry.folder / METRICS_FILE))) for entry in live)

    def forget_view(self) -> None:
        """There's none."""

    def _look_once(self) -> None:
        try:
            self.all()
        except AutoTrainError as problem:
            log.notice(str(problem))

    def _view(self, entry: Entry, entries: Sequence[Entry]) -> RunView:
        seen, had = _seen(entry), self._ended.get(entry.id)
        if had and had[0] == seen:
            return had[1]
        place = place_in_queue(entry, entries) if entry.queued else 0
        view = view_of(
            look_at(entry), raw_parameters(entry), position_in_queue=place, is_stopping=self._is_stopping(entry.id)
        )
        if not view.is_live and not entry.cloud:
            self._ended[entry.id] = (seen, view)
        return view

    def _has_ended(self, entry: Entry) -> bool:
        had = self._ended.get(entry.id)
        return bool(had and had[0][0] == entry)

    def _is_idle(self, seconds: float, feed: RunFeed) -> bool:
        return seconds > _IDLE_SECONDS and not self._watches.has(feed)


def _seen(entry: Entry) -> Seen:
    """What decides how a run that has ended looks: the registry, its state, and whether its folder is there."""
    reason = entry.reason_file
    return entry, file_signature(str(entry.folder / STATE_FILE)), file_signature(str(reason)) if reason else None


def _matches(view: RunView, words: Sequence[str]) -> bool:
    if not words:
        return True
    text = " ".join((view.name, view.base_model, Path(view.base_model).name, view.trainer, view.backend, view.notes))
    return all(word in text.casefold() or word == f"#{view.number}" or word == str(view.number) for word in words)
