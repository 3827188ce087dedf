"""A plain table as HTML has it, that can be scrolled sideways where it is too wide."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

from nicegui import ui


@contextmanager
def table(label: str, headers: Sequence[str]) -> Generator[ui.element]:
    """Yields the body.  label: what a screen reader calls it."""
    room = ui.element("div").classes("at-scroll").props(f'tabindex=0 role=region aria-label="{label}"')
    with room, ui.element("table").classes("at-table"):
        with ui.element("thead"), ui.element("tr"):
            for header in headers:
                with ui.element("th").props("scope=col"):
                    ui.label(header)
        with ui.element("tbody") as body:
            yield body


def row(cells: Iterable[str]) -> None:
    with ui.element("tr"):
        for cell in cells:
            with ui.element("td"):
                ui.label(cell)
