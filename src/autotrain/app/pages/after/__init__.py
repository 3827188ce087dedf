"""After training: try the result, download it, merge it, publish it, read its card."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from nicegui import ui

from autotrain.app.components.address import here
from autotrain.app.components.confirm import Confirm
from autotrain.app.components.parts import add_looks
from autotrain.app.components.text import heading, paragraph
from autotrain.app.feeds import RunView
from autotrain.app.pages.after.card import card_section
from autotrain.app.pages.after.errand import ErrandView
from autotrain.app.pages.errors import missing
from autotrain.app.pages.frame import frame, page
from autotrain.app.results import Result
from autotrain.app.state import AppState
from autotrain.app.words import as_said, t
from autotrain.app.words.format import number, size
from autotrain.errors import AutoTrainError, RunFolderError

_CSS = Path(__file__).with_name("after.css")


def register(state: AppState) -> None:
    @page("/run/{number}/after")
    async def after_page(number: str) -> None:  # pyright: ignore[reportUnusedFunction]
        try:
            view = state.feeds.run(int(number) if number.isascii() and number.isdigit() else 0).view()
        except RunFolderError:
            return missing()
        with frame("after.title", active="runs", name=view.name):
            add_looks(_CSS)
            ui.link(t("after.back"), f"/run/{number}")
            try:
                result = await asyncio.to_thread(state.results.result, view)
            except AutoTrainError as problem:
                heading(t("after.not_yet"))
                paragraph(as_said(problem)).props("role=alert")
                return
            AfterPage(state, view, result)


class AfterPage:
    """Its sections; merging and pushing go on without it, and are shown again when it is loaded again."""

    def __init__(self, state: AppState, view: RunView, result: Result) -> None:
        self._state, self._view, self._result = state, view, result
        with ui.element("div").classes("at-grid"):
            self._try()
            self._download()
        self._errand = ErrandView(lambda: state.results.errand(view.number))
        with ui.element("div").classes("at-grid"):
            if result.subject.adapter:
                self._merge()
            self._push()
        card_section(result, here(f"/api/runs/{view.number}"))

    def _try(self) -> None:
        scores = self._result.subject.gives_scores
        with ui.element("section").classes("at-card"):
            heading(t("after.try"))
            paragraph(t("after.score_hint" if scores else "after.try_hint"))
            address = f"/chat?run={self._view.number}"
            ui.button(t("after.score" if scores else "after.talk"), on_click=lambda: ui.navigate.to(address)).classes(
                "at-after-go"
            )

    def _download(self) -> None:
        result = self._result
        with ui.element("section").classes("at-card"):
            heading(t("after.download"))
            adapter = t("after.download_adapter", base=self._view.base_model)
            paragraph(adapter if result.subject.adapter else t("after.download_whole"))
            paragraph(t("after.no_secrets")).classes("at-muted at-small")
            label = t("after.download_button", size=size(result.size_bytes))
            ui.link(label, f"/api/runs/{self._view.number}/download").classes("at-after-button").props("download")
            with ui.element("details").classes("at-small"):
                with ui.element("summary"):
                    ui.label(t("after.files", count=number(len(result.files)))).style("display: inline")
                with ui.element("ul").classes("at-mono at-after-files"):
                    for file in result.files:
                        with ui.element("li"):
                            ui.label(f"{file.path}  {size(file.size_bytes)}")

    def _merge(self) -> None:
        confirm = Confirm(t("after.merge_question"), t("after.merge_hint"), t("after.merge_do"), self._begin_merge)
        with ui.element("section").classes("at-card"):
            heading(t("after.merge"))
            paragraph(t("after.merge_hint"))
            ui.button(t("after.merge_button"), on_click=lambda: confirm.open()).props("outline").classes("at-after-go")

    async def _begin_merge(self, _: bool) -> None:
        self._begin(lambda: self._state.results.merge(self._view))

    def _push(self) -> None:
        result = self._result
        with ui.element("section").classes("at-card"):
            heading(t("after.push"))
            paragraph(t("after.push_hint"))
            if result.pushed is not None:
                paragraph(t("after.pushed", url=result.pushed.url))
                paragraph(t("after.pushed_again")).classes("at-muted at-small")
            if self._state.tokens.current() is None:
                paragraph(t("after.no_token"))
                ui.link(t("after.to_settings"), "/settings")
                return
            known = result.pushed.repo_id if result.pushed else result.folder.name
            repo = ui.input(t("after.repo"), value=known).props(f'hint="{t("after.repo_hint")}"')
            public = ui.checkbox(t("after.public"))
            ui.button(
                t("after.push_button"),
                on_click=lambda: self._begin(
                    lambda: self._state.results.push(self._view, str(repo.value or "").strip(), public=bool(public.value))
                ),
            ).classes("at-after-go")

    def _begin(self, action: Callable[[], object]) -> None:
        try:
            action()
        except AutoTrainError as problem:
            ui.notify(as_said(problem), type="negative")
            return
        self._errand.follow()
