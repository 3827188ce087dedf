"""Plain HTML elements, for what must not pass through the page's own channel."""

from typing import Self

from nicegui.elements.mixins.text_element import TextElement


class Tag(TextElement):
    """An element of HTML with a text and attributes, whose state stays in the browser."""

    def __init__(self, tag: str, text: str = "", **attributes: str) -> None:
        """attributes: `for_` and `class_` stand for their names in HTML, - is written _."""
        super().__init__(tag=tag, text=text)
        for name, value in attributes.items():
            self._props[name.rstrip("_").replace("_", "-")] = value

    def when_clicked(self, script: str) -> Self:
        """Run `script`, JavaScript that knows `event`, in the browser."""
        return self.on("click", js_handler=f"(event) => {script}")
