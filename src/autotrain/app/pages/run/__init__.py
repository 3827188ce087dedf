"""A run: where it stands, live, and everything that can be done with it."""

from pathlib import Path

from nicegui import ui

from autotrain.app.components.address import here
from autotrain.app.components.advice import advice_card
from autotrain.app.components.curves import Curves
from autotrain.app.components.live import follow
from autotrain.app.components.log_view import LogView
from autotrain.app.components.panels import panels_of_run
from autotrain.app.components.parts import add_looks
from autotrain.app.components.text import paragraph
from autotrain.app.feeds import RunFeed, RunView
from autotrain.app.pages.frame import frame, page
from autotrain.app.pages.run.actions import Actions
from autotrain.app.pages.run.checkpoints import Checkpoints
from autotrain.app.pages.run.left_out import LeftOut
from autotrain.app.pages.run.notes import notes_field
from autotrain.app.pages.run.outcome import outcome_card
from autotrain.app.pages.run.own_names import own_names
from autotrain.app.pages.run.samples import Samples
from autotrain.app.pages.run.settings import settings_used
from autotrain.app.pages.run.status import Status
from autotrain.app.state import AppState
from autotrain.app.words import t
from autotrain.errors import RunFolderError

_CSS = Path(__file__).with_name("run.css")
TABS = ("charts", "samples", "log", "left_out", "settings")


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
            RunPage(state, feed, view, tab if tab in TABS else TABS[0])


def _missing() -> None:
    with frame("run.missing", active="runs"):
        paragraph(t("run.missing_do"))
        ui.link(t("run.all_runs"), "/runs")


class RunPage:
    """The parts of the page, and what each does when something changes."""

    def __init__(self, state: AppState, feed: RunFeed, view: RunView, tab: str) -> None:
        self._state, self._feed, self._folder = state, feed, view.folder
        self._end: tuple[str, str] = ("", "")
        add_looks(_CSS)
        with ui.element("section").classes("at-card").props(f'aria-label="{t("run.status")}"') as self._top:
            self._status = Status(view)
            self._actions = Actions(state, view)
            notes_field(state, view)
        self._advice = ui.element("div").classes("at-column")
        self._tabs(tab)
        self._show(view)
        follow(feed.watch, self._changed, self._lost)

    def _tabs(self, tab: str) -> None:
        feed, number = self._feed, self._feed.number
        with ui.tabs(on_change=lambda event: _remember(str(event.value))).props("align=left mobile-arrows no-caps") as tabs:
            for name in TABS:
                ui.tab(name, t(f"run.tab_{name}"))
        with ui.tab_panels(tabs, value=tab, animated=False).classes("at-run-panels"):
            with ui.tab_panel("charts"):
                self._curves = Curves({number: feed}, lambda names: panels_of_run(number, names), f"run-{number}")
            with ui.tab_panel("samples"):
                self._samples = Samples(self._feed)
            with ui.tab_panel("log"):
                self._log = LogView(here(f"/api/runs/{self._feed.number}/log"))
            with ui.tab_panel("left_out"):
                self._left_out = LeftOut(self._feed, lambda text: own_names(self._state, text))
            with ui.tab_panel("settings"):
                settings_used(self._feed)
                self._checkpoints = Checkpoints(self._folder)

    def _changed(self) -> None:
        self._show(self._feed.view())
        self._curves.refresh(self._feed.number)
        self._samples.refresh()
        self._left_out.refresh()
        self._checkpoints.refresh()
        self._log.grow(self._feed.log_size())

    def _show(self, view: RunView) -> None:
        self._status.show(view)
        self._actions.show(view)
        if self._end != (view.stage, view.reason):
            self._end = (view.stage, view.reason)
            self._advice.clear()
            with self._advice:
                advice_card(view.stage, own_names(self._state, view.reason))
                outcome_card(self._feed, view)

    def _lost(self) -> None:
        """Somebody took the run out of the list meanwhile."""
        self._top.clear()
        with self._top:
            paragraph(t("run.missing_do"))
            ui.link(t("run.all_runs"), "/runs")


def _remember(tab: str) -> None:
    """So that the same tab is there after a reload, and in an address that is passed on."""
    ui.run_javascript(f"history.replaceState(history.state, '', '?tab={tab}')")
