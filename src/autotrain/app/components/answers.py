"""What a model answered, and what it was to answer."""

from nicegui import ui

from autotrain.app.components.text import heading, paragraph
from autotrain.app.words import t

_MAX_SHOWN = 400  # characters of a question that is shown at once


def said(who: str, text: str, *, is_ours: bool = False) -> None:
    """An answer and whose it is.  is_ours: of a model of ours, and not of the data."""
    with ui.element("div").classes("at-answer").classes("at-answer-ours" if is_ours else ""):
        paragraph(who).classes("at-muted at-small")
        paragraph(text or t("run.no_answer")).classes("at-said").classes("" if text else "at-muted")


def question(text: str) -> None:
    """What was asked; of a long one the beginning, and the rest behind it."""
    if len(text) <= _MAX_SHOWN:
        heading(text, level=3).classes("at-said")
        return
    heading(text[:_MAX_SHOWN] + " …", level=3).classes("at-said")
    with ui.element("details"):
        with ui.element("summary").classes("at-muted"):
            ui.label(t("run.whole_question")).style("display: inline")
        paragraph(text).classes("at-said")
