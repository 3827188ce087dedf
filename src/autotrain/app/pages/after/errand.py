"""Merging or pushing, as it goes on: a bar, what it said, how it ended."""

import time
from collections.abc import Callable

from nicegui import ui

from autotrain.app.components.live import follow
from autotrain.app.components.text import heading
from autotrain.app.results import DONE, PUSH, RUNNING, Errand
from autotrain.app.words import t
from autotrain.app.words.format import duration


class ErrandView:
    """Nothing while there is no errand."""

    def __init__(self, find: Callable[[], Errand | None]) -> None:
        self._find = find
        self._followed: Errand | None = None
        self._was_running = False
        with ui.element("section").classes("at-card").props("role=status") as self._card:
            self._title = heading("")
            self._bar = ui.linear_progress(show_value=False).props(f'indeterminate aria-label="{t("after.merge")}"')
            self._text = ui.label().classes("at-said")
            self._link = ui.link("", "").props("rel=noopener target=_blank")
            with ui.element("details").classes("at-small") as self._details:
                with ui.element("summary"):
                    ui.label(t("after.details")).style("display: inline")
                self._lines = ui.label().classes("at-mono at-said")
            self._stop = ui.button(t("after.stop"), on_click=self._end).props("outline color=negative")
            self._stop.classes("at-after-go")
        ui.timer(1.0, self._tick)
        self.follow()

    def follow(self) -> None:
        """Show the latest errand from now on."""
        errand = self._find()
        if errand is not None and errand is not self._followed:
            self._followed = errand
            follow(errand.watch, self._show, self._show)
        self._show()

    def _end(self) -> None:
        if self._followed is not None:
            self._followed.stop()

    def _tick(self) -> None:
        if self._followed is not None and self._followed.state == RUNNING:
            self._show()

    def _show(self) -> None:
        errand = self._followed
        self._card.visible = errand is not None
        if errand is None:
            return
        is_running, is_done = errand.state == RUNNING, errand.state == DONE
        if self._was_running and is_done:
            self._was_running = False
            ui.navigate.reload()  # there is another result now; how it ended is shown once, by the page that comes
            return
        self._was_running = is_running
        self._title.text = t(f"after.{errand.kind}_{errand.state}")
        self._bar.visible = self._stop.visible = is_running
        self._text.text = self._line(errand)
        self._text.visible = bool(self._text.text)
        self._text.classes(remove="at-bad", add="at-bad" if errand.problem and not errand.is_stopped else "")
        has_address = is_done and errand.kind == PUSH and errand.result.startswith(("https://", "http://"))
        self._link.visible = has_address
        if has_address:
            self._link.text = errand.result
            self._link.props(f'href="{errand.result}"')
        self._details.visible = bool(errand.lines)
        self._lines.text = "\n".join(errand.lines)

    def _line(self, errand: Errand) -> str:
        if errand.state == RUNNING:
            return t("after.since", time=duration(time.time() - errand.started))
        return t("after.stopped") if errand.is_stopped and errand.problem else errand.problem
