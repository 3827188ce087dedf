"""What a model answered, and what it was to answer."""

from nicegui import ui

from autotrain.app.components.text import paragraph
from autotrain.app.words import t


def said(who: str, text: str, *, is_ours: bool = False) -> None:
    """An answer and whose it is.  is_ours: of a model of ours, and not of the data."""
    with ui.element("div").classes("at-answer").classes("at-answer-ours" if is_ours else ""):
        paragraph(who).classes("at-muted at-small")
        paragraph(text or t("run.no_answer")).classes("at-said").classes("" if text else "at-muted")
