"""Step 3: what it is trained on: a file that is dropped, or a data set of the hub; looked into at once."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.address import here
from autotrain.app.components.confirm import Confirm
from autotrain.app.components.field import Choice, ChoiceField, SelectField, TextField
from autotrain.app.components.file_pick import FilePick
from autotrain.app.components.html import Tag
from autotrain.app.components.text import paragraph
from autotrain.app.drafts.draft import HUB, UPLOAD
from autotrain.app.pages.new.preview import PreviewPanel
from autotrain.app.pages.new.step import Step
from autotrain.app.uploads import DataSet, Refused
from autotrain.app.uploads.holding import can_hold_back
from autotrain.app.words import as_said, t
from autotrain.app.words.format import moment, number, size
from autotrain.errors import AutoTrainError

if TYPE_CHECKING:
    from autotrain.app.pages.new.wizard import Wizard

_NUM_EARLIER = 50


class DataStep(Step):
    def __init__(self, wizard: "Wizard") -> None:
        super().__init__(wizard)
        paragraph(t(f"new.task_{wizard.draft.trainer}_data")).classes("at-muted")
        choices = [Choice(UPLOAD, t("new.from_file"), [t("new.from_file_what")])]
        choices.append(Choice(HUB, t("new.from_hub"), [t("new.from_hub_what")]))
        self.fields["data_path"] = ChoiceField("source", t("new.source"), choices, wizard.draft.source, self._source_chosen)
        self._room = ui.element("div").classes("at-column")
        self._panel_room = ui.element("div").classes("at-column")
        self._draw()
        self._panel = PreviewPanel(self, self._panel_room)
        self.look()

    def look(self) -> None:
        """Look into the data that are chosen now; as long as the step is there, whatever is drawn anew meanwhile."""
        with self._panel_room:
            ui.timer(0, self._panel.look, once=True)

    def redraw(self) -> None:
        self._draw()
        self.look()

    def _draw(self) -> None:
        kept = self.fields["data_path"]
        self.fields = {"data_path": kept}
        self._room.clear()
        with self._room:
            if self.wizard.draft.source == HUB:
                self._draw_hub()
            else:
                self._draw_upload()

    def _draw_upload(self) -> None:
        wizard = self.wizard
        dataset = self._dataset()
        datasets = wizard.state.datasets
        title = t("new.drop") if dataset is None else t("new.drop_other")
        FilePick(here("/api/datasets"), "file", datasets.max_bytes, self._taken, title=title, hint=t("new.drop_hint"))
        if wizard.draft.other_data and dataset is None:
            paragraph(t("new.other_data", path=wizard.draft.other_data)).classes("at-small")
        if dataset is not None:
            self._draw_file(dataset, "train")
            self._draw_valid(dataset)
        earlier = [one for one in datasets.all() if one.files and (dataset is None or one.identity != dataset.identity)]
        if earlier:
            options = {"": t("new.earlier_none"), **{one.identity: _entry(one) for one in earlier[:_NUM_EARLIER]}}
            SelectField("earlier", t("new.earlier"), options, "", self._taken_again)

    def _dataset(self) -> DataSet | None:
        identity = self.wizard.draft.upload
        if not identity:
            return None
        try:
            return self.wizard.state.datasets.find(identity)
        except Refused:
            self.wizard.set(upload="")
            return None

    def _draw_file(self, dataset: DataSet, split: str) -> None:
        file = dataset.files[split]
        with ui.element("div").classes("at-file-card"):
            with ui.element("div").classes("at-row"):
                Tag("strong", file.name)
                Tag("span", f"{size(file.num_bytes)} · {file.kind.upper()}", class_="at-muted at-small")
                if split == "valid":
                    ui.button(t("new.valid_remove"), on_click=self._drop_valid).props("flat dense")
                else:
                    question = (t("new.delete_question"), t("new.delete_explained"), t("new.delete"))
                    confirm = Confirm(*question, self._delete)
                    ui.button(t("new.delete"), on_click=lambda: confirm.open()).props("flat dense")
            for note in file.notes:
                paragraph(note.text).classes("at-small at-muted")

    def _draw_valid(self, dataset: DataSet) -> None:
        """Rows that are validated on: held back, or of a file of their own."""
        if dataset.held_back:
            with ui.element("div").classes("at-file-card"), ui.element("div").classes("at-row"):
                Tag("span", t("new.held_back", count=number(dataset.held_back)), class_="at-grow")
                ui.button(t("new.use_all"), on_click=self._drop_valid).props("flat dense")
        with Tag("details") as details:
            Tag("summary", t("new.valid"))
            with ui.element("div").classes("at-column"):
                paragraph(t("new.valid_hint")).classes("at-muted at-small")
                if dataset.has_valid and not dataset.held_back:
                    self._draw_file(dataset, "valid")
                    details.props("open")
                elif _can_hold_back(dataset):
                    ui.button(t("new.hold_back"), on_click=self._hold_back).props("outline")
                address = here(f"/api/datasets/{dataset.identity}/valid")
                limit = self.wizard.state.datasets.max_bytes
                FilePick(address, "file-valid", limit, self._valid_taken, title=t("new.drop_valid"), hint=t("new.drop_hint"))

    def _draw_hub(self) -> None:
        draft = self.wizard.draft
        with ui.element("div").classes("at-grid"):
            self._hub("hub_data", "new.hub_data", draft.hub_data)
            self._hub("hub_train", "new.hub_train", draft.hub_train)
            self._hub("hub_valid", "new.hub_valid", draft.hub_valid)
        with ui.element("div").classes("at-row"):
            ui.button(t("new.hub_splits"), on_click=self._ask_splits).props("outline")
            self._splits = Tag("span", "", role="status", class_="at-small")

    def _hub(self, name: str, label: str, value: str) -> None:
        async def changed(said: Any) -> None:
            self.wizard.set(**{name: str(said).strip()}, mapping={}, is_mapped=False, as_chat=False)
            if name != "hub_valid":
                self.look()

        keys = {"hub_data": "data_path", "hub_train": "train_split", "hub_valid": "valid_split"}
        field = TextField(name, t(label), value, changed, hint=t(f"{label}_hint"))
        self.fields[keys[name]] = field

    async def _ask_splits(self) -> None:
        name = self.wizard.draft.hub_data
        if not name:
            self._splits.text = t("new.data_missing")
            return
        self._splits.text = t("new.searching")
        try:
            splits = await self.wizard.state.previews.splits(name)
            said = t("new.hub_found", splits=", ".join(splits))
        except AutoTrainError as error:
            said = as_said(str(error).removeprefix("data.path: "))
        if not self.wizard.is_gone:
            self._splits.text = said

    async def _source_chosen(self, source: Any) -> None:
        if source in (UPLOAD, HUB):
            self.wizard.set(source=source, mapping={}, is_mapped=False, as_chat=False)
            self.redraw()

    async def _taken(self, identity: str) -> None:
        """A new file: some of its rows are kept to see whether the model gets better."""
        await asyncio.to_thread(self.wizard.state.datasets.hold_back, identity)
        self._use(identity)

    def _use(self, identity: str) -> None:
        self.wizard.set(upload=identity, other_data="", mapping={}, is_mapped=False, as_chat=False, skips_bad_rows=True)
        self.redraw()

    async def _taken_again(self, identity: Any) -> None:
        if identity:
            self._use(str(identity))

    async def _valid_taken(self, identity: str) -> None:
        self.redraw()

    async def _hold_back(self) -> None:
        dataset = await asyncio.to_thread(self.wizard.state.datasets.hold_back, self.wizard.draft.upload)
        if not dataset.held_back:
            ui.notify(t("new.too_few"))
        self.redraw()

    async def _drop_valid(self) -> None:
        await asyncio.to_thread(self.wizard.state.datasets.drop_valid, self.wizard.draft.upload)
        self.redraw()

    async def _delete(self, _: bool) -> None:
        await asyncio.to_thread(self.wizard.state.datasets.remove, self.wizard.draft.upload)
        self.wizard.set(upload="", mapping={}, is_mapped=False, as_chat=False)
        self.redraw()

    def switch_task(self, trainer: str) -> None:
        """Train with the method that the data are for."""
        self.wizard.draft = replace(self.wizard.draft, trainer=trainer, mapping={}, is_mapped=False, as_chat=False)
        self.wizard.keep()
        self.wizard.show(focus=True)

    async def problems(self) -> dict[str, str]:
        found = self.wizard.checked().problems
        here_ = {name: found[name] for name in ("data_path", "train_split", "valid_split") if name in found}
        if self.wizard.draft.source == HUB and not self.wizard.draft.hub_data:
            here_ = {"data_path": t("new.data_missing")}
        return here_ or await self._panel.problems()

    def show_problems(self, problems: dict[str, str]) -> None:
        super().show_problems(problems)
        self._panel.show_problems(problems)


def _can_hold_back(dataset: DataSet) -> bool:
    kind = dataset.files["train"].kind
    return not dataset.has_valid and can_hold_back(dataset.folder / f"train.{kind}", kind)


def _entry(dataset: DataSet) -> str:
    return f"{dataset.name} ({size(dataset.files['train'].num_bytes)}, {moment(dataset.uploaded)})"
