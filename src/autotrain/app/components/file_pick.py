"""A place to drop a file, or to choose one; the file goes to the API, not through the page's own channel."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from autotrain.app.words import t
from autotrain.app.words.format import size

_CSS = Path(__file__).with_suffix(".css")
_TEXTS = ("one", "sending", "reading", "failed", "stop", "choose")


class FilePick(Element, component="file_pick.js"):
    """`taken` is called with the data set's identity when the server has accepted the file."""

    def __init__(
        self, address: str, name: str, limit_bytes: int, taken: Callable[[str], Awaitable[None]], *, title: str, hint: str
    ) -> None:
        """address: that the file is posted to.  name: of the field, once in a page."""
        super().__init__()
        ui.add_css(_CSS)
        self._props["address"] = address
        self._props["name"] = name
        self._props["limit"] = limit_bytes
        self._props["texts"] = {key: t(f"file.{key}") for key in _TEXTS} | {
            "title": title,
            "hint": hint,
            "large": t("file.large", limit=size(limit_bytes)),
        }

        async def on_taken(event: GenericEventArguments) -> None:
            if isinstance(event.args, str):
                await taken(event.args)

        self.on("taken", on_taken)
