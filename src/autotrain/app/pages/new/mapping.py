"""Which column holds what: only what this task needs, with what was recognised chosen already."""

from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.field import Field, SelectField
from autotrain.app.components.text import heading, paragraph
from autotrain.app.drafts.tasks import TASKS
from autotrain.app.words import t

if TYPE_CHECKING:
    from autotrain.app.pages.new.data import DataStep


class Mapping:
    def __init__(self, step: "DataStep", preview: dict[str, Any]) -> None:
        self._step, self._wizard = step, step.wizard
        task = TASKS[step.wizard.draft.trainer]
        chosen = {**(preview.get("mapping") or {}), **{key: one for key, one in step.wizard.draft.mapping.items() if one}}
        columns = {name: name for name in preview["columns"] if name}
        self.fields: dict[str, Field] = {}
        self._columns: dict[str, str] = {}
        if not columns:
            return
        with ui.element("section").classes("at-card"):
            heading(t("new.columns"))
            paragraph(t("new.columns_hint")).classes("at-muted at-small")
            with ui.element("div").classes("at-grid"):
                for field in task.columns:
                    self._select(field, columns, chosen.get(field, ""), is_optional=field in task.optional)

    def _select(self, field: str, columns: dict[str, str], chosen: str, *, is_optional: bool) -> None:
        data = TASKS[self._wizard.draft.trainer].data
        empty = t("new.column_none") if is_optional else t("new.column_open")
        options = {"": empty, **columns} if is_optional or not chosen else columns

        async def changed(column: Any) -> None:
            self._columns[field] = str(column)
            self._wizard.set(mapping=dict(self._columns), is_mapped=True, as_chat=False)
            self._step.look()

        name = f"new.column_{data}_{field}"
        self.fields[field] = SelectField(field, t(name), options, chosen, changed, hint=t(f"{name}_hint"))
        self._columns[field] = chosen  # what stands in the fields: chosen, or recognised

    def show_problems(self, problems: dict[str, str]) -> None:
        for name, field in self.fields.items():
            field.show_error(problems.get(name, ""))
        first = next((field for name, field in self.fields.items() if name in problems), None)
        if first:
            first.focus()
