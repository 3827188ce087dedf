"""A run in the list."""

from collections.abc import Callable

from nicegui import ui

from autotrain.app.components.stage import restage, stage_chip
from autotrain.app.feeds import RunView
from autotrain.app.pages.run.status import method_of, place_of, short_line_of
from autotrain.app.words import t
from autotrain.app.words.format import moment, number

COLUMNS = ("pick", "name", "stage", "loss", "model", "started", "do")


class RunRow:
    """Built once; `show` changes what differs."""

    def __init__(
        self,
        view: RunView,
        on_pick: Callable[[int, bool], None],
        on_note: Callable[[RunView], None],
        on_remove: Callable[[RunView], None],
    ) -> None:
        self._view: RunView | None = None
        with ui.element("tr"):
            with _cell("pick"):
                self._box = ui.checkbox(on_change=lambda event: on_pick(view.number, bool(event.value))).props(
                    f'aria-label="{t("runs.pick", number=view.number)}"'
                )
            with _cell("name"):
                ui.link(view.name, f"/run/{view.number}").classes("at-runs-name")
                self._notes = ui.label().classes("at-muted at-small at-runs-notes")
            with _cell("stage"):
                self._chip = stage_chip(view.stage)
                self._line = ui.label().classes("at-muted at-small")
                self._bar = ui.linear_progress(0, show_value=False, size="4px").props("rounded aria-hidden=true")
            with _cell("loss"):
                self._loss = ui.label()
            with _cell("model"):
                ui.label(view.base_model.rstrip("/").rpartition("/")[2] or "–")
                ui.label(f"{method_of(view.trainer)} · {place_of(view.backend)}").classes("at-muted at-small")
            with _cell("started"):
                ui.label(moment(view.started))
            with _cell("do"):
                _icon("✎", t("runs.note_of", number=view.number), lambda: on_note(self._view or view))
                self._remove = _icon("✕", t("runs.remove_of", number=view.number), lambda: on_remove(self._view or view))

    def show(self, view: RunView) -> None:
        if view == self._view:
            return
        self._view = view
        restage(self._chip, view.stage)
        self._notes.text, self._notes.visible = view.notes, bool(view.notes)
        self._line.text = short_line_of(view)
        self._bar.visible = view.is_live and view.total_steps > 0
        self._bar.value = round(view.step / view.total_steps, 4) if view.total_steps else 0
        self._loss.text = "–" if view.last_loss is None else number(view.last_loss)
        self._remove.set_enabled(not view.is_live)

    def set_picked(self, is_picked: bool) -> None:
        self._box.value = is_picked


def _cell(name: str) -> ui.element:
    """On a phone, where there are no columns, it says itself what it is."""
    return ui.element("td").classes(f"at-runs-{name}").props(f'data-label="{t(f"runs.column_{name}")}"')


def _icon(sign: str, label: str, act: Callable[[], None]) -> ui.button:
    return ui.button(sign, on_click=act).props(f'flat dense aria-label="{label}"')
