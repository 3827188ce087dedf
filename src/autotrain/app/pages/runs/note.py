"""Writing down what one thinks of a run."""

from nicegui import ui

from autotrain.app.components.text import heading
from autotrain.app.feeds import RunView
from autotrain.app.state import AppState
from autotrain.app.words import as_said, t
from autotrain.errors import AutoTrainError


class NoteDialog:
    """One for all runs of the list."""

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._number = 0
        with ui.dialog() as self._dialog, ui.card().classes("at-confirm"):
            self._title = heading("")
            self._text = ui.textarea(t("runs.note")).props("autogrow maxlength=2000 autofocus").style("width: 100%")
            with ui.element("div").classes("at-row at-confirm-buttons"):
                ui.button(t("confirm.back"), on_click=self._dialog.close).props("flat")
                ui.button(t("runs.save"), on_click=self._save)

    def open(self, view: RunView) -> None:
        self._number = view.number
        self._title.text = view.name
        self._dialog.props["aria-label"] = t("runs.note_of", number=view.number)
        self._dialog.update()
        self._text.value = view.notes
        self._dialog.open()

    async def _save(self) -> None:
        try:
            await self._state.queue.note(self._number, self._text.value or "")
        except AutoTrainError as problem:
            ui.notify(as_said(problem), type="negative", multi_line=True)
            return
        self._dialog.close()
