"""The curves of one or several runs, and what is logged while they are looked at."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from autotrain.app.components.address import here
from autotrain.app.components.live_plot import LivePlot
from autotrain.app.components.panels import Panel
from autotrain.app.feeds import RunFeed


class Curves:
    """Built with what was logged so far; `refresh` brings what came since."""

    def __init__(self, feeds: Mapping[int, RunFeed], panels: Callable[[Iterable[str]], Sequence[Panel]], name: str) -> None:
        """panels: makes the charts for these metrics.  name: under which the browser remembers the zoom."""
        self._feeds, self._panels = feeds, panels
        self._names = self._all_names()
        self._positions = {number: _end_of(feed) for number, feed in feeds.items()}
        self._plot = LivePlot(here("/api/runs"), list(feeds), panels(self._names), name)

    def refresh(self, number: int) -> None:
        """The run with this number changed."""
        names = self._all_names()
        if names != self._names:
            self._names = names
            self._plot.show(self._panels(names))
        self._push_news(number)

    def _all_names(self) -> set[str]:
        return {name for feed in self._feeds.values() for name in feed.metric_names()}

    def _push_news(self, number: int) -> None:
        feed = self._feeds[number]
        while True:
            news, before = feed.since(self._positions[number]), self._positions[number]
            if news.is_anew:  # resumed from a checkpoint, or begun again
                self._plot.renew(number)
                self._positions[number] = _end_of(feed)
                return
            if news.rows:
                self._plot.push(number, before, news.position, news.rows)
            if news.position == before:
                return
            self._positions[number] = news.position


def _end_of(feed: RunFeed) -> int:
    return feed.history_from(())[0]
