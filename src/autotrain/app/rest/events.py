"""/api/runs/N/events: server-sent events of a run, for programs; the page has its own connection.

Each event's id says how far the client has read, and a client that comes back with it (`Last-Event-ID`) gets the rest, also
from another server process.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from autotrain.app.feeds import RunFeed
from autotrain.app.feeds.tail import mark, read_mark
from autotrain.app.rest.runs import Number
from autotrain.app.state import AppState
from autotrain.errors import ConfigError, RunFolderError

KINDS = ("state", "metrics", "log")
# A line now and then, so that nobody between takes the connection for dead.
_QUIET_SECONDS = 15.0
_NUM_LINES = 500


@dataclass(frozen=True)
class Read:
    """How far a client has read: mark of the metrics (`tail.mark`), number of log lines."""

    metrics: str = "0-00000000"
    num_lines: int = 0

    @property
    def id(self) -> str:
        return f"{self.metrics}.{self.num_lines}"


def routes(state: AppState) -> APIRouter:
    router = APIRouter(tags=["contents of a run"])

    @router.get("/runs/{number}/events", response_class=StreamingResponse)
    async def stream(
        number: Number,
        streams: Annotated[str, Query(description="Of state, metrics, log, with commas between.")] = ",".join(KINDS),
        last_event_id: Annotated[str, Header(description="The id of the last event that was had.")] = "",
    ) -> StreamingResponse:
        """Server-sent events until the run has ended.

        state: as GET /api/runs/N, when it changed.  metrics: {"rows": [...]}, rows of metrics.jsonl.
        log: {"first": N, "lines": [...]}.  anew: {"stream": "metrics" or "log"}: the run was resumed or replaced; forget
        what was read, it comes again from its beginning.  end: as state, the last event.
        """
        wanted = [one.strip() for one in streams.split(",") if one.strip()]
        unknown = [one for one in wanted if one not in KINDS]
        if unknown or not wanted:
            raise ConfigError(f"streams: must be of {', '.join(KINDS)}, with commas between")
        feed = state.feeds.run(number)
        await asyncio.to_thread(feed.view)  # so that a run that isn't there is answered with 404
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        events = _events(feed, wanted, read_id(last_event_id))
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    return router


def read_id(said: str) -> Read:
    """What an event's id says; the beginning, if it is none of ours."""
    metrics, _, lines = said.rpartition(".")
    is_ours = lines.isascii() and lines.isdigit() and len(lines) < 16
    return Read(metrics, int(lines)) if metrics and is_ours else Read()


async def _events(feed: RunFeed, wanted: list[str], read: Read) -> AsyncGenerator[bytes]:
    changed = asyncio.Event()
    cancels = feed.watch(changed.set), feed.watches.add_stream(changed.set)
    follower = _Follower(feed, wanted, read)
    try:
        while not feed.watches.is_closed:
            changed.clear()
            try:
                await asyncio.to_thread(follower.look)
            except RunFolderError:
                return  # it was deleted
            for event in follower.take():
                yield event
            if follower.has_more:
                continue
            if follower.has_ended:
                return
            try:
                await asyncio.wait_for(changed.wait(), _QUIET_SECONDS)
            except TimeoutError:
                yield b": nothing new\n\n"
    finally:
        for cancel in cancels:
            cancel()


class _Follower:
    """Gathers what is new to one client, a piece at a time.

    has_more: there's more to be had at once.  has_ended: the run has, and all was had of it.
    """

    def __init__(self, feed: RunFeed, wanted: list[str], read: Read) -> None:
        self.has_more = self.has_ended = False
        self._feed, self._wanted, self._read = feed, wanted, read
        self._last_state: dict[str, Any] = {}
        self._events: list[bytes] = []

    def take(self) -> Iterator[bytes]:
        events, self._events = self._events, []
        return iter(events)

    def look(self) -> None:
        """The state is asked for first, so that what a run says as it ends isn't missed."""
        self._feed.forget_view()
        view = self._feed.view()
        state = asdict(view)
        self.has_more = False
        if "metrics" in self._wanted:
            self._look_at_metrics()
        if "log" in self._wanted:
            self._look_at_log()
        # A clock that ticks is no change.
        still = {name: value for name, value in state.items() if name != "seconds_left"}
        if "state" in self._wanted and still != self._last_state and view.is_live:
            self._add("state", state)
        self._last_state = still
        self.has_ended = not view.is_live
        if self.has_ended and not self.has_more:
            self._add("end", state)

    def _look_at_metrics(self) -> None:
        file = self._feed.metrics_path()
        position = read_mark(file, self._read.metrics)
        news = self._feed.since(self._begin_metrics() if position is None else position)
        if news.is_anew:
            self._begin_metrics()
        elif news.rows:
            self._read = replace(self._read, metrics=mark(file, news.position))
            self._add("metrics", {"rows": news.rows})
        self.has_more |= news.is_anew or bool(news.rows)

    def _begin_metrics(self) -> int:
        self._read = replace(self._read, metrics=Read().metrics)
        self._add("anew", {"stream": "metrics"})
        return 0

    def _look_at_log(self) -> None:
        size, first = self._feed.log_size(), self._read.num_lines
        if size < first:
            self._read, first = replace(self._read, num_lines=0), 0
            self._add("anew", {"stream": "log"})
        lines = self._feed.log_lines(first, _NUM_LINES) if first < size else []
        if lines:
            self._read = replace(self._read, num_lines=first + len(lines))
            self._add("log", {"first": first, "lines": lines})
            self.has_more = True

    def _add(self, kind: str, data: dict[str, Any]) -> None:
        text = json.dumps(data, ensure_ascii=False)
        self._events.append(f"id: {self._read.id}\nevent: {kind}\ndata: {text}\n\n".encode())
