"""What was recognised in the data: columns, the first rows as conversations and as tokens, and what is left out."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.html import Tag
from autotrain.app.components.text import heading, paragraph
from autotrain.app.drafts.checked import Checked
from autotrain.app.drafts.draft import HUB, UPLOAD
from autotrain.app.pages.new.mapping import Mapping
from autotrain.app.pages.new.rows import raw_rows, rows_as_people_read, rows_as_tokens
from autotrain.app.pages.new.verdict import Verdict
from autotrain.app.words import as_said, t
from autotrain.errors import AutoTrainError
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from autotrain.app.pages.new.data import DataStep

NUM_ROWS = 4
# Settings that change nothing of what a preview shows; with the others it has to be made anew.
_WITHOUT_EFFECT = frozenset(
    "project_name lr epochs batch_size gradient_accumulation optimizer scheduler warmup_ratio weight_decay max_grad_norm "
    "seed peft lora_r lora_alpha lora_dropout target_modules use_rslora use_dora merge_adapter quantization mixed_precision "
    "log logging_steps save_strategy save_steps save_total_limit max_hours push_to_hub username hub_private hub_revision "
    "push_checkpoints skip_bad_rows valid_split set_by_user early_stopping_patience eval_strategy eval_steps".split()
)


class PreviewPanel:
    """Asks again when the draft has changed meanwhile."""

    def __init__(self, step: "DataStep", room: ui.element) -> None:
        self._step, self._wizard = step, step.wizard
        self._is_looking = self._asks_hub = False
        self._asked: LLMTrainingParams | None = None
        self._asking: asyncio.Task[dict[str, Any]] | None = None
        self._mapping: Mapping | None = None
        with room:
            self._status = Tag("p", "", role="status", class_="at-muted")
            self._problem = Tag("p", "", role="alert", class_="at-bad")
            self._room = ui.element("div").classes("at-column")

    async def look(self) -> None:
        """Show what is in the data that are chosen now; where others are being looked into, after those."""
        if self._is_looking:
            self._leave_other_data()
            return
        self._is_looking = True
        try:
            while await self._look_once():
                continue
        finally:
            self._is_looking = False

    async def _look_once(self) -> bool:
        """Returns whether the draft isn't any more what was looked into."""
        wizard, seen = self._wizard, self._wizard.seen
        checked = self._checked()
        if checked.params is None:
            return self._show_nothing(checked)
        key = self._key(checked)
        if seen.preview is None or seen.preview_of != key:
            self._problem.text = ""
            self._status.text = t("new.looking_hub" if wizard.draft.source == HUB else "new.looking")
            try:
                seen.preview = await self._ask(checked.params)
                seen.preview_of = key
            except AutoTrainError as error:
                seen.preview, seen.preview_of = None, ""
                if self._has_changed(key):
                    return True
                if not wizard.is_gone:
                    self._status.text = ""
                    self._problem.text = as_said(self._with_names(str(error)))
                return False
            if wizard.is_gone:
                return False
        if seen.preview is None or self._has_changed(key):
            return True
        if self._adopt(seen.preview):
            return True
        seen.preview_of = self._key(self._checked())
        self._show(seen.preview)
        return False

    async def _ask(self, params: LLMTrainingParams) -> dict[str, Any] | None:
        """None if other data are wanted meanwhile."""
        self._asked, self._asks_hub = params, self._wizard.draft.source == HUB
        self._asking = asyncio.create_task(self._wizard.state.previews.preview(params, NUM_ROWS))
        try:
            return await self._asking
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the step was left
            return None
        finally:
            self._asking = None

    def _leave_other_data(self) -> None:
        """Data of the hub may take minutes to come, and aren't waited for when others are wanted."""
        now, asked = self._checked().params, self._asked
        is_other = now is None or asked is None or (now.data_path, now.train_split) != (asked.data_path, asked.train_split)
        if self._asking is not None and self._asks_hub and is_other:
            self._asking.cancel()

    def _has_changed(self, key: str) -> bool:
        """Whether other data, or the same in another way, were chosen while these were looked into."""
        now = self._checked()
        return not self._wizard.is_gone and (now.params is None or self._key(now) != key)

    def _checked(self) -> Checked:
        return self._wizard.checked()

    def _key(self, checked: Checked) -> str:
        values = json.loads(checked.params.to_json()) if checked.params else {}
        return json.dumps({name: value for name, value in values.items() if name not in _WITHOUT_EFFECT}, sort_keys=True)

    def _adopt(self, preview: dict[str, Any]) -> bool:
        """Columns that are probably meant are chosen, and that plain questions and answers become conversations.

        The user may choose otherwise.  Returns whether the preview has to be made anew.
        """
        draft = self._wizard.draft
        suggested = preview.get("suggested")
        if suggested and not draft.is_mapped:
            self._wizard.set(mapping=dict(suggested))
        could_chat = bool(preview.get("could_chat")) and preview["problem"] is None
        if could_chat and not draft.as_chat:
            self._wizard.set(as_chat=True)
            return True
        return False

    def _show_nothing(self, checked: Checked) -> bool:
        self._room.clear()
        self._status.text = ""
        others = [one for name, one in checked.problems.items() if name not in ("data_path", "model")]
        self._problem.text = " ".join(others) if "data_path" not in checked.problems else ""
        return False

    def _with_names(self, text: str) -> str:
        draft = self._wizard.draft
        if draft.source == UPLOAD and draft.upload:
            return self._wizard.state.datasets.find(draft.upload).with_own_names(text)
        return text

    def _show(self, preview: dict[str, Any]) -> None:
        self._status.text = self._problem.text = ""
        self._room.clear()
        with self._room:
            Verdict(self._step, preview, self._with_names)
            if preview.get("columns"):
                self._mapping = Mapping(self._step, preview)
            if preview.get("rows"):
                self._show_rows(preview)
            elif preview.get("cells"):
                raw_rows(preview)

    def _show_rows(self, preview: dict[str, Any]) -> None:
        with ui.element("section").classes("at-card"):
            heading(t("new.rows"))
            with ui.tabs().props("align=left no-caps inline-label dense") as tabs:
                people = ui.tab("people", t("new.rows_people"))
                tokens = ui.tab("tokens", t("new.rows_tokens"))
            with ui.tab_panels(tabs, value=people).classes("at-rows-panels"):
                with ui.tab_panel(people):
                    rows_as_people_read(preview)
                with ui.tab_panel(tokens):
                    if preview.get("tokens"):
                        rows_as_tokens(preview)
                    else:
                        paragraph(t("new.no_tokens")).classes("at-muted")

    async def problems(self) -> dict[str, str]:
        """Waits for a preview that is on its way."""
        await self._wait()
        preview = self._wizard.seen.preview
        if preview is None:
            return {"": self._problem.text} if self._problem.text else {}
        problem = preview["problem"]
        if problem is None:
            return {}
        if problem["stage"] == "model":
            return {"": as_said(self._with_names(problem["text"]))}
        if problem["stage"] == "columns":
            return {"text_column": t("new.column_choose")}
        return {"": as_said(self._with_names(problem["text"]))}

    async def _wait(self) -> None:
        if not self._is_looking:
            await self.look()
        while self._is_looking and not self._wizard.is_gone:
            await asyncio.sleep(0.1)

    def show_problems(self, problems: dict[str, str]) -> None:
        if self._mapping:
            self._mapping.show_problems(problems)
