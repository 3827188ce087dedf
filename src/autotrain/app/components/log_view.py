"""A log of any length, searched on the server."""

from pathlib import Path

from nicegui import ui
from nicegui.element import Element

from autotrain.app.words import t

_CSS = Path(__file__).with_suffix(".css")
_TEXTS = ("log", "search", "previous", "next", "follow", "download", "empty", "none", "unreachable")


class LogView(Element, component="log_view.js"):
    """Reads the lines in sight over REST, and hears through `grow` how many there are."""

    def __init__(self, base: str) -> None:
        """base: address of the log's REST routes."""
        super().__init__()
        ui.add_css(_CSS)
        self._props["base"] = base
        found = t("log.found", line="{line}", matches="{matches}")  # the browser knows the numbers
        self._props["texts"] = {key: t(f"log.{key}") for key in _TEXTS} | {"found": found}

    def grow(self, num_lines: int) -> None:
        """The log has so many lines now; fewer than before where it was begun anew."""
        self.run_method("grow", num_lines)
