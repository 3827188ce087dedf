"""Asking before something that can't be taken back."""

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from autotrain.app.components.text import heading, paragraph
from autotrain.app.words import t


class Confirm:
    """A dialog with a question; `open()` shows it.  Built with the page, so that it is in the page's language."""

    def __init__(
        self, question: str, explanation: str, action: str, act: Callable[[bool], Awaitable[None]], tick: str = ""
    ) -> None:
        """action: what the button says.  tick: of a box to be ticked, or "".  act: is told whether it was ticked."""
        self._act = act
        with ui.dialog().props("role=alertdialog") as self._dialog, ui.card().classes("at-confirm"):
            self.question: TextElement = heading("")
            self._ask(question)
            self._explanation = paragraph(explanation)
            self._box = ui.checkbox(tick) if tick else None
            with ui.element("div").classes("at-row at-confirm-buttons"):
                ui.button(t("confirm.back"), on_click=self._dialog.close).props("flat autofocus")
                ui.button(action, on_click=self._confirmed, color="negative")

    def open(self, question: str = "") -> None:
        if question:
            self._ask(question)
        if self._box:
            self._box.value = False
        self._dialog.open()

    def _ask(self, question: str) -> None:
        self.question.text = question
        self._dialog.props["aria-label"] = question
        self._dialog.update()

    async def _confirmed(self) -> None:
        self._dialog.close()
        await self._act(bool(self._box and self._box.value))
