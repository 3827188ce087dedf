"""All runs: found, noted, deleted, picked to be compared."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

from nicegui import ui

from autotrain.app.components.confirm import Confirm
from autotrain.app.components.live import Follower
from autotrain.app.components.parts import add_looks
from autotrain.app.components.stage import GROUPS
from autotrain.app.components.text import heading, paragraph
from autotrain.app.feeds import RunView
from autotrain.app.pages.frame import frame, page
from autotrain.app.pages.runs.note import NoteDialog
from autotrain.app.pages.runs.rows import COLUMNS, RunRow
from autotrain.app.state import AppState
from autotrain.app.words import as_said, t
from autotrain.app.words.format import number
from autotrain.errors import AutoTrainError

ROWS_A_PAGE = 25
FEWEST, MOST = 2, 6  # runs that can be compared
_CSS = Path(__file__).with_name("runs.css")


def register(state: AppState) -> None:
    def runs_page(q: str = "", show: str = "", at: str = "", pick: str = "") -> None:
        picked = [int(one) for one in pick.split(",") if one.isascii() and one.isdigit()]
        first = int(at) if at.isascii() and at.isdigit() else 0
        with frame("runs.title", active="runs"):
            RunsPage(state, q, show if show in GROUPS else "", first, picked[:MOST])

    for path in ("/", "/runs"):
        page(path)(runs_page)


@dataclass(frozen=True)
class _Wanted:
    """query: what names and notes hold.  group: of stages, "" for all.  first: place of the first run that is shown."""

    query: str
    group: str
    first: int


@dataclass(frozen=True)
class _Found:
    """wanted: what was looked for.  first: less than wanted where runs went.  total: how many runs fit, on all pages."""

    wanted: _Wanted
    first: int
    total: int
    views: list[RunView]


class RunsPage:
    """What is looked for, which part of it is shown, and what was picked; all of it is in the page's address."""

    def __init__(self, state: AppState, query: str, group: str, first: int, picked: list[int]) -> None:
        self._state, self._wanted = state, _Wanted(query, group, first)
        self._picked = picked
        self._rows: dict[int, RunRow] = {}
        self._note = NoteDialog(state)
        self._removal = Confirm(
            t("runs.remove_question", name=""),
            t("runs.remove_explained"),
            t("runs.remove"),
            self._remove,
            t("runs.remove_folder"),
        )
        self._to_remove = 0
        add_looks(_CSS)
        self._tools()
        self._body = ui.element("div").classes("at-column")
        with ui.element("div").classes("at-row at-runs-pages") as self._pages:
            self._back = ui.button(t("runs.previous"), on_click=lambda: self._turn(-ROWS_A_PAGE)).props("outline")
            self._where = ui.label().props("role=status")
            self._on = ui.button(t("runs.next"), on_click=lambda: self._turn(ROWS_A_PAGE)).props("outline")
        self._pages.visible = False
        self._show_picked()
        self._follower = Follower(self._read, self._show, lambda: None).watch(state.feeds.watch)

    def _tools(self) -> None:
        options = {"": t("runs.all")} | {group: t(f"runs.group_{group}") for group in GROUPS}
        with ui.element("div").classes("at-row at-runs-tools") as self._search:
            ui.input(
                t("runs.search"), value=self._wanted.query, on_change=lambda event: self._look_for(event.value or "")
            ).props("type=search debounce=250 clearable").classes("at-runs-search")
            ui.select(
                options, value=self._wanted.group, label=t("runs.show"), on_change=lambda event: self._narrow(event.value)
            ).classes("at-runs-show")
            ui.element("div").classes("at-grow")
            self._compare = ui.button(t("runs.compare", count=0), on_click=self._go_compare).props("outline")
            ui.button(t("runs.new"), on_click=lambda: ui.navigate.to("/new"))
        self._hint = paragraph(t("runs.compare_hint")).classes("at-muted at-small")

    # What is shown

    def _read(self) -> _Found:
        """In any thread."""
        wanted = self._wanted
        first, (total, views) = wanted.first, self._list(wanted, wanted.first)
        if not views and first:
            first = max(0, (total - 1) // ROWS_A_PAGE * ROWS_A_PAGE)
            total, views = self._list(wanted, first)
        return _Found(wanted, first, total, views)

    def _list(self, wanted: _Wanted, first: int) -> tuple[int, list[RunView]]:
        return self._state.feeds.list(wanted.query, GROUPS.get(wanted.group, ()), first, ROWS_A_PAGE)

    def _show(self, found: _Found) -> None:
        if found.wanted != self._wanted:
            return  # the user turned a page, or looked for something else, meanwhile: what is found for that comes next
        self._wanted, views = replace(self._wanted, first=found.first), found.views
        if views and [view.number for view in views] == list(self._rows):
            for view in views:
                self._rows[view.number].show(view)
        else:
            self._draw(views)
        self._show_place(found.total, len(views))
        self._show_picked()

    def _draw(self, views: list[RunView]) -> None:
        self._rows = {}
        self._body.clear()
        with self._body:
            if not views:
                return self._draw_nothing()
            with ui.element("table").classes("at-runs").props(f'aria-label="{t("runs.title")}"'):
                with ui.element("thead"), ui.element("tr"):
                    for name in COLUMNS:
                        with ui.element("th").props("scope=col"):
                            ui.label(t(f"runs.column_{name}"))
                with ui.element("tbody"):
                    for view in views:
                        self._rows[view.number] = self._row(view)

    def _row(self, view: RunView) -> RunRow:
        row = RunRow(view, on_pick=self._pick, on_note=lambda shown: self._note.open(shown), on_remove=self._ask_to_remove)
        row.show(view)
        row.set_picked(view.number in self._picked)
        return row

    def _draw_nothing(self) -> None:
        is_filtered = bool(self._wanted.query or self._wanted.group)
        with ui.element("section").classes("at-card at-runs-empty"):
            heading(t("runs.no_match") if is_filtered else t("runs.empty"))
            paragraph(t("runs.no_match_do") if is_filtered else t("runs.empty_do")).classes("at-muted")
            with ui.element("div").classes("at-row"):
                if is_filtered:
                    ui.button(t("runs.show_all"), on_click=lambda: ui.navigate.to("/runs"))
                else:
                    ui.button(t("runs.first"), on_click=lambda: ui.navigate.to("/new"))

    def _show_place(self, total: int, shown: int) -> None:
        first = self._wanted.first
        self._pages.visible = total > ROWS_A_PAGE
        self._where.text = t("runs.shown", first=number(first + 1), last=number(first + shown), total=number(total))
        self._back.set_enabled(first > 0)
        self._on.set_enabled(first + shown < total)

    # What is looked for

    def _look_for(self, query: str) -> None:
        self._want(replace(self._wanted, query=query, first=0))

    def _narrow(self, group: str) -> None:
        self._want(replace(self._wanted, group=group, first=0))

    def _turn(self, by: int) -> None:
        self._want(replace(self._wanted, first=max(0, self._wanted.first + by)))

    def _want(self, wanted: _Wanted) -> None:
        self._wanted = wanted
        self._remember()
        self._follower.refresh()

    def _remember(self) -> None:
        """In the page's address: the same is there after a reload."""
        said = {
            "q": self._wanted.query,
            "show": self._wanted.group,
            "at": self._wanted.first or "",
            "pick": ",".join(str(one) for one in self._picked),
        }
        query = urlencode({name: value for name, value in said.items() if value}, safe=",")
        ui.run_javascript(f"history.replaceState(history.state, '', {json.dumps('?' + query)})")

    # Picked to be compared

    def _pick(self, picked: int, is_picked: bool) -> None:
        if is_picked == (picked in self._picked):
            return
        self._picked = [*self._picked, picked] if is_picked else [one for one in self._picked if one != picked]
        self._remember()
        self._show_picked()

    def _show_picked(self) -> None:
        count = len(self._picked)
        self._compare.text = t("runs.compare", count=count)
        self._compare.set_enabled(FEWEST <= count <= MOST)
        self._hint.text = t("runs.compare_too_many") if count > MOST else t("runs.compare_hint")

    def _go_compare(self) -> None:
        ui.navigate.to(f"/compare?ids={','.join(str(one) for one in self._picked)}")

    # Deleting

    def _ask_to_remove(self, view: RunView) -> None:
        self._to_remove = view.number
        self._removal.open(t("runs.remove_question", name=view.name))

    async def _remove(self, with_folder: bool) -> None:
        try:
            await self._state.queue.remove(self._to_remove, with_folder=with_folder)
        except AutoTrainError as problem:
            ui.notify(as_said(problem), type="negative", multi_line=True, timeout=10_000, close_button=t("run.close"))
            return
        self._pick(self._to_remove, False)
        self._follower.refresh()
