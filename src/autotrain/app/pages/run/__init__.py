"""A run: where it stands, live, and everything that can be done with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from autotrain.app.components.address import here
from autotrain.app.components.advice import advice_card
from autotrain.app.components.curves import Curves, News
from autotrain.app.components.live import Follower
from autotrain.app.components.log_view import LogView
from autotrain.app.components.panels import panels_of_run
from autotrain.app.components.parts import add_looks
from autotrain.app.components.text import paragraph
from autotrain.app.feeds import RunFeed, RunView
from autotrain.app.pages.frame import frame, page
from autotrain.app.pages.run.actions import Actions
from autotrain.app.pages.run.checkpoints import Checkpoint, Checkpoints
from autotrain.app.pages.run.left_out import LeftOut, LeftOutPage
from autotrain.app.pages.run.notes import notes_field
from autotrain.app.pages.run.outcome import outcome_card
from autotrain.app.pages.run.own_names import own_names
from autotrain.app.pages.run.samples import Samples
from autotrain.app.pages.run.settings import settings_used
from autotrain.app.pages.run.status import Status
from autotrain.app.state import AppState
from autotrain.app.words import t
from autotrain.errors import RunFolderError

Row = dict[str, Any]

_CSS = Path(__file__).with_name("run.css")
TABS = ("charts", "samples", "log", "left_out", "settings")
# What is heard of a run in the cloud.
_CLOUD_TABS = ("log", "settings")


def register(state: AppState) -> None:
    @page("/run/{number}")
    def run_page(number: str, tab: str = "") -> None:  # pyright: ignore[reportUnusedFunction]
        feed = state.feeds.run(int(number)) if number.isascii() and number.isdigit() else None
        try:
            view = feed.view() if feed else None
        except RunFolderError:
            view = None
        if feed is None or view is None:
            return _missing()
        with frame("run.title", active="runs", name=view.name):
            RunPage(state, feed, view, tab)


def _missing() -> None:
    with frame("run.missing", active="runs"):
        paragraph(t("run.missing_do"))
        ui.link(t("run.all_runs"), "/runs")


@dataclass(frozen=True)
class _Snapshot:
    """What the page shows, as it was read at one time."""

    view: RunView
    curves: News
    samples: list[Row]
    log_size: int
    left_out: LeftOutPage
    checkpoints: list[Checkpoint]
    facts: Row


class RunPage:
    """The parts of the page, and what each shows when something changes."""

    def __init__(self, state: AppState, feed: RunFeed, view: RunView, tab: str) -> None:
        self._state, self._feed, self._folder = state, feed, view.folder
        shown = TABS if view.folder else _CLOUD_TABS
        self._end: tuple[str, str, bool] = ("", "", False)
        add_looks(_CSS)
        with ui.element("section").classes("at-card").props(f'aria-label="{t("run.status")}"') as self._top:
            self._status = Status(view)
            if not view.folder:
                paragraph(t("run.in_the_cloud")).classes("at-muted")
            self._actions = Actions(state, view)
            notes_field(state, view)
        self._advice = ui.element("div").classes("at-column")
        self._tabs(shown, tab if tab in shown else shown[0])
        self._show_view(view, {})
        self._follower = Follower(self._read, self._show, self._lost).watch(feed.watch)

    def _tabs(self, shown: Sequence[str], tab: str) -> None:
        feed, number = self._feed, self._feed.number
        with ui.tabs(on_change=lambda event: _remember(str(event.value))).props("align=left mobile-arrows no-caps") as tabs:
            for name in shown:
                ui.tab(name, t(f"run.tab_{name}"))
        with ui.tab_panels(tabs, value=tab, animated=False).classes("at-run-panels"):
            with ui.tab_panel("charts"):
                self._curves = Curves({number: feed}, lambda names: panels_of_run(number, names), f"run-{number}")
            with ui.tab_panel("samples"):
                self._samples = Samples()
            with ui.tab_panel("log"):
                self._log = LogView(here(f"/api/runs/{number}/log"))
            with ui.tab_panel("left_out"):
                named = partial(own_names, self._state)
                self._left_out = LeftOut(feed, named, lambda: self._follower.refresh())
            with ui.tab_panel("settings"):
                settings_used(feed)
                with ui.element("div") as checkpoints:
                    self._checkpoints = Checkpoints(self._folder)
                checkpoints.visible = bool(self._folder)

    def _read(self) -> _Snapshot:
        feed, view = self._feed, self._feed.view()
        return _Snapshot(
            view=view,
            curves=self._curves.read(),
            samples=feed.samples(),
            log_size=feed.log_size(),
            left_out=self._left_out.read(view.stage),
            checkpoints=self._checkpoints.read(),
            facts=feed.facts(),
        )

    def _show(self, found: _Snapshot) -> None:
        self._show_view(found.view, found.facts)
        self._curves.show(found.curves)
        self._samples.show(found.samples)
        self._left_out.show(found.left_out)
        self._checkpoints.show(found.checkpoints)
        self._log.grow(found.log_size)

    def _show_view(self, view: RunView, facts: Row) -> None:
        self._status.show(view)
        self._actions.show(view)
        end = (view.stage, view.reason, "results" in facts)
        if self._end == end:
            return
        self._end = end
        self._advice.clear()
        with self._advice:
            advice_card(view.stage, own_names(self._state, view.reason))
            outcome_card(view.stage, facts)

    def _lost(self) -> None:
        """Somebody took the run out of the list meanwhile."""
        self._top.clear()
        with self._top:
            paragraph(t("run.missing_do"))
            ui.link(t("run.all_runs"), "/runs")


def _remember(tab: str) -> None:
    """So that the same tab is there after a reload, and in an address that is passed on."""
    ui.run_javascript(f"history.replaceState(history.state, '', '?tab={tab}')")
