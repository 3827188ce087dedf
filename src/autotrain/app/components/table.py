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


def row(cells: Iterable[str], *, has_header: bool = False) -> ui.element:
    """has_header: the first cell says what the others are of."""
    with ui.element("tr") as line:
        for at, cell in enumerate(cells):
            is_header = has_header and at == 0
            with ui.element("th" if is_header else "td").props("scope=row" if is_header else ""):
                ui.label(cell)
    return line
