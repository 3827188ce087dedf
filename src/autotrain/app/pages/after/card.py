"""The model card, as readers see it on the hub."""

import re

from nicegui import ui

from autotrain.app.components.harmless import harmless
from autotrain.app.components.text import heading, paragraph
from autotrain.app.results import Result
from autotrain.app.words import t
from autotrain.run_folder import CURVE_FILE

_HEADING = re.compile(r"^(#{1,4}) ", re.MULTILINE)
_CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def card_section(result: Result, address: str) -> None:
    """address: of the run's REST routes, where the card's picture is."""
    with ui.element("section").classes("at-card"):
        heading(t("after.card"))
        paragraph(t("after.card_hint")).classes("at-muted at-small")
        shown = ui.markdown(
            _below_our_headings(result.card, address), sanitize=lambda html: harmless(html, pictures=f"{address}/")
        )
        shown.classes("at-after-card").props("sanitize")  # by the browser once more
        with ui.element("details").classes("at-small"):
            with ui.element("summary"):
                ui.label(t("after.card_source")).style("display: inline")
            ui.label(result.card).classes("at-mono at-said")


def _below_our_headings(card: str, address: str) -> str:
    """Its title is a part of this page; its picture comes from here."""
    parts = _CODE.split(card)
    prose = [_HEADING.sub(r"##\1 ", part) if at % 2 == 0 else part for at, part in enumerate(parts)]
    return "".join(prose).replace(f"({CURVE_FILE})", f"({address}/{CURVE_FILE})")
