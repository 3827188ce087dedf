"""Step 6: what will be trained, counted; the run's name; and the button that starts it."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.field import SwitchField, TextField
from autotrain.app.components.html import Tag
from autotrain.app.components.text import heading, paragraph
from autotrain.app.drafts.checked import taken_names
from autotrain.app.drafts.draft import HUB, Draft, free_name, suggested_name
from autotrain.app.pages.new.place import is_away, price_text
from autotrain.app.pages.new.step import Step
from autotrain.app.pages.new.verdict import reason_text
from autotrain.app.uploads import Refused
from autotrain.app.words import as_said, t
from autotrain.app.words.format import duration, number, size
from autotrain.errors import AutoTrainError
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from autotrain.app.pages.new.wizard import Wizard

# Of the memory there is; above it a run may be ended by the system.
_TIGHT = 0.85
_VERY_LONG_SECONDS = 24 * 3600


class SummaryStep(Step):
    def __init__(self, wizard: "Wizard") -> None:
        super().__init__(wizard)
        self._is_paid = not is_away(wizard.draft.backend)
        self._is_starting = False
        if not wizard.draft.project_name:
            name = free_name(suggested_name(wizard.draft, self._data_name()), taken_names(wizard.state.workspace))
            wizard.set(project_name=name)
        self.fields["project_name"] = TextField(
            "project_name", t("new.name"), wizard.draft.project_name, self._named, hint=t("new.name_hint"), maxlength="50"
        )
        with ui.element("section").classes("at-card"):
            heading(t("new.what"))
            with Tag("dl", class_="at-facts"):
                self._facts()
            self._counted = ui.element("div").classes("at-column")
        if is_away(wizard.draft.backend):
            price = price_text(wizard.draft.backend)
            self.fields["price"] = SwitchField("price", t("new.price_known", price=price), False, self._price_known)
        with ui.element("div").classes("at-row"):
            self._button = ui.button(t("new.start"), on_click=self._start).classes("at-start")
            self._state = Tag("span", "", role="status")
        self._counting: asyncio.Task[dict[str, Any]] | None = None
        ui.timer(0, self._count, once=True)

    def _data_name(self) -> str:
        draft = self.wizard.draft
        if draft.source == HUB:
            return draft.hub_data
        try:
            return self.wizard.state.datasets.find(draft.upload).name if draft.upload else draft.other_data
        except Refused:
            return ""

    def _facts(self) -> None:
        draft = self.wizard.draft
        _fact("new.task", t(f"new.task_{draft.trainer}"))
        _fact("new.model", draft.model)
        _fact("new.data", self._data_name())
        _fact("new.settings", t(f"new.preset_{draft.preset}") + _changes(draft))
        place = t("new.place_here") if not is_away(draft.backend) else f"{draft.backend}, {price_text(draft.backend)}"
        _fact("new.place", place)

    async def _named(self, name: Any) -> None:
        self.wizard.set(project_name=str(name).strip())
        problem = self.wizard.checked(needs_name=True).problems.get("project_name", "")
        self.fields["project_name"].show_error(problem)

    async def _price_known(self, is_known: Any) -> None:
        self._is_paid = bool(is_known)
        self.fields["price"].show_error("")

    async def _count(self) -> None:
        """All rows, once for the same parameters."""
        wizard, seen = self.wizard, self.wizard.seen
        params = wizard.checked().params
        if params is None:
            return self._say_problems(wizard.checked().problems)
        key = _key(params)
        if seen.amounts is None or seen.amounts_of != key:
            with self._counted:
                paragraph(t("new.counting")).props("role=status").classes("at-muted")
            try:
                self._counting = asyncio.create_task(wizard.state.previews.measure(params))
                seen.amounts, problem = await self._counting, ""
                seen.amounts_of = key
            except asyncio.CancelledError:
                return  # the run has begun, and needs the machine
            except AutoTrainError as error:
                seen.amounts, problem = None, str(error)
            if wizard.is_gone or self._counted.is_deleted:
                return
            self._counted.clear()
            if seen.amounts is None:
                return self._cannot(problem)
        self._show(seen.amounts or {})

    def _say_problems(self, problems: dict[str, str]) -> None:
        with self._counted:
            for sentence in problems.values():
                paragraph(sentence).props("role=alert").classes("at-bad")

    def _cannot(self, problem: str) -> None:
        draft = self.wizard.draft
        if draft.source != HUB and draft.upload:
            problem = self.wizard.state.datasets.find(draft.upload).with_own_names(problem)
        with self._counted:
            heading(t("new.cannot"), level=3).classes("at-bad")
            paragraph(as_said(problem)).props("role=alert").classes("at-said")

    def _show(self, amounts: dict[str, Any]) -> None:
        is_here = not is_away(self.wizard.draft.backend)
        with self._counted:
            with Tag("dl", class_="at-facts"):
                rows = "new.blocks" if amounts["unit"] == "blocks" else "new.amount_rows"
                _fact(rows, number(amounts["num_rows"]) + _valid(amounts))
                tokens = t("new.tokens", total=number(amounts["num_tokens"]), trained=number(amounts["num_trained"]))
                _fact("new.amount_tokens", tokens)
                _fact("new.amount_steps", number(amounts["total_steps"]))
                if amounts["memory"] and is_here:
                    _fact("new.amount_memory", _memory(amounts["memory"]))
                if amounts["seconds"] and is_here:
                    _fact("new.amount_time", self._time(amounts["seconds"]))
                if "num_trainable" in amounts:
                    share = f"{100 * amounts['num_trainable'] / amounts['num_parameters']:.2g}"
                    trained = t("new.trainable", count=number(amounts["num_trainable"]), share=share)
                    _fact("new.amount_trainable", trained)
            self._warnings(amounts, is_here=is_here)

    def _time(self, seconds: float) -> str:
        hours = self.wizard.checked().params
        limit = (hours.max_hours or 0) * 3600 if hours else 0
        if limit and seconds > limit:
            return t("new.time_capped", time=duration(seconds), limit=duration(limit))
        return t("new.time", time=duration(seconds))

    def _warnings(self, amounts: dict[str, Any], *, is_here: bool) -> None:
        memory = amounts["memory"]
        if is_here and memory and memory["peak_bytes"] > _TIGHT * memory["total_bytes"]:
            paragraph(t("new.memory_tight")).props("role=alert").classes("at-warn")
        if is_here and (amounts["seconds"] or 0) > _VERY_LONG_SECONDS:
            paragraph(t("new.very_long")).props("role=alert").classes("at-warn")
        for reason, count in amounts["counts"]["left_out"].items():
            paragraph(t("new.left_out_reason", count=number(count), reason=reason_text(reason))).classes("at-small")
        if amounts["counts"]["rows_cut"]:
            counts = amounts["counts"]
            cut = t("new.cut", rows=number(counts["rows_cut"]), read=number(counts["rows_in"]), limit=amounts["block_size"])
            paragraph(cut).classes("at-small")
        if amounts["notices"]:
            with Tag("details"):
                Tag("summary", t("new.notices"))
                with Tag("ul", class_="at-list"):
                    for notice in amounts["notices"]:
                        Tag("li", notice, class_="at-small")

    async def _start(self) -> None:
        wizard = self.wizard
        if self._is_starting:
            return
        checked = wizard.checked(needs_name=True)
        problems = dict(checked.problems)
        if not self._is_paid:
            problems["price"] = t("new.price_agree")
        if problems or checked.params is None:
            return self._refuse(problems)
        self._is_starting = True
        self._button.disable()
        self._state.text = t("new.starting")
        state, draft = wizard.state, wizard.draft
        try:
            number_ = await asyncio.to_thread(
                state.queue.submit, checked.params, draft.backend, allowed_paths=draft.allowed, token=state.tokens.current()
            )
        except AutoTrainError as error:
            self._is_starting = False
            if not wizard.is_gone:
                self._button.enable()
                self._state.text = ""
                wizard.say(as_said(error))
            return
        if self._counting:
            self._counting.cancel()
        state.previews.release()
        wizard.draft = Draft(model=draft.model)
        wizard.keep()
        if not wizard.is_gone:
            ui.navigate.to(f"/run/{number_}")

    def _refuse(self, problems: dict[str, str]) -> None:
        own = {name: one for name, one in problems.items() if name in self.fields}
        if own:
            self.show_problems(own)
        elif not self.wizard.go_to_problem(problems):
            self.wizard.say(" ".join(problems.values()))


def _fact(name: str, value: str) -> None:
    Tag("dt", t(name))
    Tag("dd", value)


def _changes(draft: Draft) -> str:
    return f", {t('new.changed_count', count=len(draft.values))}" if draft.values else ""


def _valid(amounts: dict[str, Any]) -> str:
    valid = amounts["num_valid_rows"]
    return "" if valid is None else t("new.and_valid", count=number(valid))


def _memory(memory: dict[str, int]) -> str:
    return t("new.memory", peak=size(memory["peak_bytes"]), total=size(memory["total_bytes"]))


def _key(params: LLMTrainingParams) -> str:
    values = {
        name: value for name, value in json.loads(params.to_json()).items() if name not in ("project_name", "set_by_user")
    }
    return json.dumps(values, sort_keys=True)
