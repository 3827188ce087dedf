"""The draft as a config file and as a command, to copy: the same run without the page."""

from typing import TYPE_CHECKING

from nicegui import ui

from autotrain.app.components.html import Tag
from autotrain.app.components.text import heading, paragraph
from autotrain.app.words import t
from autotrain.config.written import command_text, config_text

if TYPE_CHECKING:
    from autotrain.app.pages.new.wizard import Wizard

# The clipboard's own interface is there for loopback and https only.
_COPY = """() => {
  const text = document.getElementById('written').innerText;
  const old = () => {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  };
  (navigator.clipboard ? navigator.clipboard.writeText(text).catch(old) : Promise.resolve(old())).then(() => emit());
}"""


class WrittenDialog:
    """What is missing yet is named instead."""

    def __init__(self, wizard: "Wizard") -> None:
        self._wizard = wizard
        with ui.dialog() as self._dialog, ui.card().classes("at-written").props("role=dialog aria-modal=true"):
            self._title = heading("")
            self._hint = paragraph("").classes("at-muted at-small")
            self._text = Tag("pre", "", id="written", class_="at-code", tabindex="0")
            with ui.element("div").classes("at-row"):
                self._copy = ui.button(t("new.copy"))
                self._copy.on("click", lambda: ui.notify(t("new.copied")), js_handler=_COPY)
                ui.button(t("new.close"), on_click=self._dialog.close).props("flat autofocus")

    def open(self, kind: str) -> None:
        """kind: config or command."""
        wizard = self._wizard
        checked = wizard.checked()
        self._title.text = t(f"new.{kind}_title")
        if checked.params is None:
            self._hint.text = t("new.written_missing")
            self._text.text = "\n".join(checked.problems.values())
        else:
            self._hint.text = t(f"new.{kind}_hint")
            write = config_text if kind == "config" else command_text
            self._text.text = write(checked.params, wizard.draft.backend)
        self._copy.visible = checked.params is not None
        self._dialog.open()
