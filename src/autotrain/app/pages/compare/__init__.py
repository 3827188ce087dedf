"""Two to six runs beside each other: what differs, curves over each other, sample answers side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nicegui import ui

from autotrain.app.components.curves import Curves, News
from autotrain.app.components.live import Follower
from autotrain.app.components.panels import panels_of_several
from autotrain.app.components.parts import add_looks
from autotrain.app.components.text import heading, paragraph
from autotrain.app.feeds import RunFeed, RunView
from autotrain.app.pages.compare.answers import Answers
from autotrain.app.pages.compare.parameters import Parameters
from autotrain.app.pages.compare.results import Result, Results
from autotrain.app.pages.frame import frame, page
from autotrain.app.state import AppState
from autotrain.app.words import t
from autotrain.errors import RunFolderError

Row = dict[str, Any]

FEWEST, MOST = 2, 6
_CSS = Path(__file__).with_name("compare.css")


def register(state: AppState) -> None:
    @page("/compare")
    def compare_page(ids: str = "") -> None:  # pyright: ignore[reportUnusedFunction]
        numbers = list(dict.fromkeys(int(one) for one in ids.split(",") if one.isascii() and one.isdigit()))
        found = _found(state, numbers[:MOST])
        with frame("compare.title", active="runs"):
            add_looks(_CSS)
            if len(found) < min(MOST, len(numbers)):
                paragraph(t("compare.missing")).classes("at-warn")
            if len(found) < FEWEST:
                paragraph(t("compare.too_few"))
                ui.link(t("run.all_runs"), "/runs")
            else:
                _Comparison({number: state.feeds.run(number) for number in found}, found)


def _found(state: AppState, numbers: list[int]) -> dict[int, RunView]:
    """Those that are there."""
    found: dict[int, RunView] = {}
    for number in numbers:
        try:
            found[number] = state.feeds.run(number).view()
        except RunFolderError:
            continue
    return found


class _Comparison:
    """The parts of the page, and what each does when a run goes on."""

    def __init__(self, feeds: Mapping[int, RunFeed], views: Mapping[int, RunView]) -> None:
        self._feeds = feeds
        names = {number: name_of(view, views) for number, view in views.items()}
        paragraph(t("compare.hint")).classes("at-muted")
        with ui.element("section").classes("at-card"):
            heading(t("compare.results"))
            self._results = Results(feeds, names)
        with ui.element("section").classes("at-card"):
            heading(t("compare.parameters"))
            Parameters(feeds, names)
        heading(t("compare.curves"))
        key = "-".join(str(number) for number in feeds)
        self._curves = Curves(feeds, lambda metrics: panels_of_several(names, metrics), f"compare-{key}")
        heading(t("compare.answers"))
        self._answers = Answers(names)
        Follower(self._read, self._show, lambda: None).watch(*(feed.watch for feed in feeds.values()))

    def _read(self) -> tuple[dict[int, Result], News, dict[int, list[Row]]]:
        """In any thread."""
        samples = {number: feed.samples() for number, feed in self._feeds.items()}
        return self._results.read(), self._curves.read(), samples

    def _show(self, found: tuple[dict[int, Result], News, dict[int, list[Row]]]) -> None:
        results, curves, samples = found
        self._results.show(results)
        self._curves.show(curves)
        self._answers.show(samples)


def name_of(view: RunView, views: Mapping[int, RunView]) -> str:
    """With the number where another run has the same name."""
    is_twin = sum(one.name == view.name for one in views.values()) > 1
    return f"{view.name} ({view.number})" if is_twin else view.name
