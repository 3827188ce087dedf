"""The curves of one or several runs, and what is logged while they are looked at."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autotrain.app.components.address import here
from autotrain.app.components.live_plot import LivePlot
from autotrain.app.components.panels import Panel, all_metrics
from autotrain.app.feeds import RunFeed


@dataclass(frozen=True)
class Push:
    """Rows of a run between two positions of its metrics; `after` before `before`: all is to be read anew."""

    run: int
    before: int
    after: int
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class News:
    """names: of all metrics that were logged."""

    names: frozenset[str]
    pushes: Sequence[Push]


class Curves:
    """`read` says in any thread what was logged since the last time, and `show` draws it.

    What was logged before, the browser reads by itself.
    """

    def __init__(self, feeds: Mapping[int, RunFeed], panels: Callable[[Iterable[str]], Sequence[Panel]], name: str) -> None:
        """panels: makes the charts for these metrics.  name: under which the browser remembers the zoom."""
        self._feeds, self._panels = feeds, panels
        self._names = frozenset(all_metrics())
        self._positions: dict[int, int] = {}
        self._plot = LivePlot(here("/api/runs"), list(feeds), panels(self._names), name)

    def read(self) -> News:
        names = frozenset(name for feed in self._feeds.values() for name in feed.metric_names())
        return News(names, [push for number in self._feeds for push in self._pushes(number)])

    def show(self, news: News) -> None:
        if not news.names <= self._names:
            self._names |= news.names
            self._plot.show(self._panels(self._names))
        for push in news.pushes:
            self._plot.push(push.run, push.before, push.after, push.rows)

    def _pushes(self, number: int) -> Iterator[Push]:
        feed = self._feeds[number]
        if number not in self._positions:  # what the browser has read may end before this
            self._positions[number] = end = _end_of(feed)
            yield Push(number, end, end)
            return
        while True:
            news, before = feed.since(self._positions[number]), self._positions[number]
            if news.is_anew:  # resumed from a checkpoint, or begun again
                self._positions[number] = _end_of(feed)
                yield Push(number, 1, 0)
                return
            if news.rows:
                yield Push(number, before, news.position, news.rows)
            if news.position == before:
                return
            self._positions[number] = news.position


def _end_of(feed: RunFeed) -> int:
    return feed.history_from(())[0]
