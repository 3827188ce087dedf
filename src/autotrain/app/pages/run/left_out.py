"""What of the data wasn't trained on, and why."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nicegui import ui

from autotrain.app.components.table import row, table
from autotrain.app.components.text import heading, paragraph
from autotrain.app.feeds import RunFeed
from autotrain.app.words import t, translated
from autotrain.app.words.format import number

_ROWS_A_PAGE = 25


@dataclass(frozen=True)
class LeftOutPage:
    """data: of run.json, by split; {} before it is written.  total: of all rows."""

    offset: int
    total: int
    rows: Sequence[Mapping[str, Any]]
    data: Mapping[str, Any]


class LeftOut:
    """Sums by reason, and the rows, a page at a time."""

    def __init__(self, feed: RunFeed, named: Callable[[str], str], refresh: Callable[[], None]) -> None:
        """named: the user's name for a file.  refresh: asks for `read` and `show`."""
        self._feed, self._named, self._refresh = feed, named, refresh
        self._offset = 0
        self._read: tuple[object, LeftOutPage] = (None, LeftOutPage(0, 0, (), {}))
        self._shown: LeftOutPage | None = None
        self._sums = ui.element("div").classes("at-column")
        self._table = ui.element("div").classes("at-column")

    def read(self, stage: str) -> LeftOutPage:
        """In any thread.  The worker writes the rows once, as it begins: only another stage may have others."""
        has_begun = bool(self._read[1].data)
        asked = (stage, self._offset)
        if asked != self._read[0] or not has_begun:
            page, data = self._feed.left_out(self._offset, _ROWS_A_PAGE), self._feed.facts().get("data") or {}
            self._read = (asked, LeftOutPage(self._offset, page.total, page.rows, data))
        return self._read[1]

    def show(self, found: LeftOutPage) -> None:
        if found == self._shown:
            return
        self._shown = found
        self._sums.clear()
        with self._sums:
            _sums(found.data, found.total)
        self._table.clear()
        if not found.rows:
            return
        with self._table:
            with table(t("run.tab_left_out"), [t(f"run.row_{name}") for name in ("where", "what", "why")]):
                for line in found.rows:
                    row(_cells(line, self._named))
            if found.total > _ROWS_A_PAGE:
                self._pages(found.total)

    def _pages(self, total: int) -> None:
        with ui.element("div").classes("at-row"):
            back = ui.button(t("run.previous_rows"), on_click=lambda: self._turn(-_ROWS_A_PAGE)).props("outline")
            last = min(self._offset + _ROWS_A_PAGE, total)
            ui.label(t("run.rows_shown", first=number(self._offset + 1), last=number(last), total=number(total)))
            on = ui.button(t("run.next_rows"), on_click=lambda: self._turn(_ROWS_A_PAGE)).props("outline")
            back.set_enabled(self._offset > 0)
            on.set_enabled(last < total)

    def _turn(self, by: int) -> None:
        self._offset = max(0, self._offset + by)
        self._refresh()


def _sums(data: Mapping[str, Any], total: int) -> None:
    """data: of run.json, by split; {} before it is written."""
    if not total and not data:
        paragraph(t("run.left_out_later")).classes("at-muted")
    for split, counts in data.items():
        if not isinstance(counts, Mapping) or "rows_in" not in counts:
            continue
        with ui.element("section").classes("at-card"):
            heading(t("run.split_train") if split == "train" else t("run.split_valid"), level=3)
            paragraph(t("run.rows_used", used=number(counts["rows_out"]), rows=number(counts["rows_in"])))
            if counts["rows_cut"]:
                paragraph(t("run.rows_cut", rows=number(counts["rows_cut"]), tokens=number(counts["tokens_cut"])))
            if counts["left_out"]:
                with ui.element("ul").classes("at-run-reasons"):
                    for reason, count in counts["left_out"].items():
                        with ui.element("li"):
                            ui.label(f"{number(count)} × {reason_of(reason)}")
    if data and not total:
        paragraph(t("run.nothing_left_out")).classes("at-good")


def _cells(line: Mapping[str, Any], named: Callable[[str], str]) -> tuple[str, str, str]:
    file = named(str(line.get("file", ""))).rpartition("/")[2]
    where = t("run.row_at", file=file, line=line.get("line", "?"))
    if line.get("what") == "cut":
        why = t("run.cut_row", kept=number(line.get("tokens_kept", 0)), cut=number(line.get("tokens_cut", 0)))
        return where, t("run.is_cut"), why
    reason, detail = reason_of(str(line.get("reason", ""))), str(line.get("detail", ""))
    return where, t("run.is_left_out"), f"{reason} – {detail}" if detail else reason


def reason_of(reason: str) -> str:
    """The data's reason in the reader's language."""
    return translated(f"run.reason_{reason.replace(' ', '_')}") or reason
