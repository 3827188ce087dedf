"""The look that the pages about runs share."""

from pathlib import Path

from nicegui import ui

_CSS = Path(__file__).with_suffix(".css")


def add_looks(page_css: Path) -> None:
    """To the page that is being built: the shared look, and `page_css`."""
    ui.add_css(_CSS)
    ui.add_css(page_css)
