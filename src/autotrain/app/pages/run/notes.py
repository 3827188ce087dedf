"""The user's own words about the run."""

from nicegui import ui
from nicegui.events import GenericEventArguments

from autotrain.app.feeds import RunView
from autotrain.app.state import AppState
from autotrain.app.words import as_said, t
from autotrain.errors import AutoTrainError

_SECONDS = 1.0  # between two times that it is kept


def notes_field(state: AppState, view: RunView) -> None:
    """Kept while it is written, and when the field is left: a restart of the page takes nothing with it."""
    field = ui.textarea(t("run.notes"), value=view.notes).props("autogrow rows=1 maxlength=2000").classes("at-run-notes")
    saved = ui.label().classes("at-muted at-small").props("role=status")

    async def keep(_: GenericEventArguments) -> None:
        try:
            await state.queue.note(view.number, field.value or "")
            saved.text = t("run.noted")
        except AutoTrainError as problem:
            saved.text = as_said(problem)

    field.on("update:model-value", keep, throttle=_SECONDS, leading_events=False)
    field.on("blur", keep)
