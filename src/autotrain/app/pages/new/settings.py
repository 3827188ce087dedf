"""Step 4: how it is trained: a preset, and over it what the user changes; a few settings, all of them, or as JSON."""

import json
from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.field import AreaField, Choice, ChoiceField, SelectField, SwitchField, TextField
from autotrain.app.components.html import Tag
from autotrain.app.components.text import paragraph
from autotrain.app.drafts.draft import ELSEWHERE, PLACED, VIEWS, base_settings, changes_for, parameters_of, settings_of
from autotrain.app.drafts.presets import PRESETS
from autotrain.app.pages.new.step import Step
from autotrain.app.words import t
from autotrain.config.surface import GROUPS, Knob, knobs, written
from autotrain.trainers.clm.params import ANSWERS, REFERRING

if TYPE_CHECKING:
    from autotrain.app.pages.new.wizard import Wizard

_BASIC = (
    "epochs",
    "lr",
    "batch_size",
    "gradient_accumulation",
    "block_size",
    "peft",
    "lora_r",
    "max_hours",
    "chat_template",
)


class SettingsStep(Step):
    def __init__(self, wizard: "Wizard") -> None:
        super().__init__(wizard)
        paragraph(t("new.settings_intro")).classes("at-muted")
        choices = [Choice(name, t(f"new.preset_{name}"), [t(f"new.preset_{name}_what")]) for name in PRESETS]
        ChoiceField("preset", t("new.preset"), choices, wizard.draft.preset, self._preset_chosen)
        views = [Choice(name, t(f"new.view_{name}")) for name in VIEWS]
        ChoiceField("view", t("new.view"), views, wizard.draft.view, self._view_chosen)
        self._changed = ui.element("div").classes("at-row")
        self._room = ui.element("div").classes("at-column")
        self._draw()

    @property
    def _has_validation(self) -> bool:
        return "valid_split" in parameters_of(self.wizard.draft, self.wizard.state.datasets)

    def _draw(self) -> None:
        self.fields.clear()
        self._draw_changed()
        self._room.clear()
        with self._room:
            if self.wizard.draft.view == "json":
                self._draw_json()
            elif self.wizard.draft.view == "all":
                self._draw_all()
            else:
                with ui.element("div").classes("at-grid"):
                    for knob in _basic_knobs(self.wizard.draft.trainer):
                        self._draw_knob(knob)

    def _draw_changed(self) -> None:
        self._changed.clear()
        count = len(self.wizard.draft.values)
        with self._changed:
            if count:
                names = ", ".join(t(f"parameters.{name}") for name in self.wizard.draft.values if name in _KNOBS)
                Tag("span", t("new.changed", names=names), class_="at-small at-grow")
                ui.button(t("new.unchange"), on_click=self._forget_changes).props("flat dense")

    def _draw_all(self) -> None:
        wanted = _knobs_of(self.wizard.draft.trainer)
        for group in GROUPS:
            ones = [knob for knob in wanted if knob.group == group]
            if not ones:
                continue
            with Tag("details", class_="at-card at-group") as details:
                Tag("summary", t(f"parameters.group_{group}"))
                with ui.element("div").classes("at-grid"):
                    for knob in ones:
                        self._draw_knob(knob)
            if group in ("lengths", "optimisation"):
                details.props("open")

    def _draw_knob(self, knob: Knob) -> None:
        name = knob.name
        settings = settings_of(self.wizard.draft, has_validation=self._has_validation)
        value, label, hint = settings.get(name, ...), t(f"parameters.{name}"), _hint(knob)

        async def changed(said: Any) -> None:
            await self._set(knob, said)

        if knob.kind == "switch":
            self.fields[name] = SwitchField(name, label, bool(knob.default if value is ... else value), changed, hint=hint)
        elif knob.choices and name not in ("loss_type", "log", "chat_template"):
            options = {one: t("new.none") if one == "none" else one for one in knob.choices}
            said = written(knob.default if value is ... else value)
            self.fields[name] = SelectField(name, label, options, said, changed, hint=hint)
        else:
            said = "" if value is ... else _as_typed(value)
            mode = "decimal" if knob.kind == "number" else "text"
            self.fields[name] = TextField(
                name, label, said, changed, hint=hint, placeholder=_default_text(knob), inputmode=mode
            )

    async def _set(self, knob: Knob, said: Any) -> None:
        """An empty field is back at the preset, or at the default."""
        name, draft = knob.name, self.wizard.draft
        preset = base_settings(draft, has_validation=self._has_validation)
        values = {key: value for key, value in draft.values.items() if key != name}
        value, base = _typed(knob, said), preset.get(name, knob.default)
        if value != "" and _as_typed(value) != _as_typed(base):
            values[name] = value
        field = self.fields.get(name)
        if value == "" and name in preset and isinstance(field, TextField):
            field.show(_as_typed(base))
        self.wizard.set(values=values)
        self._draw_changed()
        self._show_own()

    def _show_own(self) -> None:
        """Without moving the focus: the user is on their way through the fields."""
        problems = self.wizard.checked().problems
        for name, field in self.fields.items():
            field.show_error(problems.get(name, ""))
        self.wizard.say(problems.get("", ""))

    async def _preset_chosen(self, preset: Any) -> None:
        if preset in PRESETS:
            self.wizard.set(preset=preset)
            self._draw()
            self._show_own()

    async def _view_chosen(self, view: Any) -> None:
        if view in VIEWS:
            self.wizard.set(view=view)
            self._draw()
            self._show_own()

    async def _forget_changes(self) -> None:
        self.wizard.set(values={})
        self._draw()
        self._show_own()

    def _draw_json(self) -> None:
        settings = settings_of(self.wizard.draft, has_validation=self._has_validation)
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        self.fields[_JSON] = AreaField(_JSON, t("new.json"), text, self._json_said, hint=t("new.json_hint"))

    async def _json_said(self, text: Any) -> None:
        field = self.fields[_JSON]
        values, problem = _parse(str(text))
        if problem:
            self._json_problem = problem
            field.show_error(problem)
            return
        self._json_problem = ""
        draft = self.wizard.draft
        self.wizard.set(values=changes_for(values, draft, has_validation=self._has_validation))
        self._draw_changed()
        field.show_error(_joined(self.wizard.checked().problems))

    _json_problem = ""

    async def problems(self) -> dict[str, str]:
        if _JSON in self.fields and self._json_problem:
            return {_JSON: self._json_problem}
        found = {name: one for name, one in self.wizard.checked().problems.items() if name in _KNOBS or not name}
        found = {name: one for name, one in found.items() if name not in PLACED}
        if _JSON in self.fields:
            return {_JSON: _joined(found)} if found else {}
        hidden = [name for name in found if name and name not in self.fields]
        if hidden:  # of the step's other view
            self.wizard.set(view="all")
            self._draw()
        return found


_JSON = "settings-json"
_KNOBS = {knob.name: knob for knob in knobs()}


def _knobs_of(trainer: str) -> list[Knob]:
    """Of this method, without what is chosen in other steps."""
    wanted = [knob for knob in knobs() if knob.name not in PLACED | ELSEWHERE]
    return [knob for knob in wanted if not knob.trainers or trainer in knob.trainers]


def _basic_knobs(trainer: str) -> list[Knob]:
    names = [*_BASIC]
    if trainer in ANSWERS:
        names += ["max_prompt_length", "max_completion_length"]
    if trainer in REFERRING:
        names.append("dpo_beta")
    if trainer in ("orpo", "simpo", "cpo"):
        names.append({"orpo": "orpo_beta", "simpo": "simpo_gamma", "cpo": "cpo_alpha"}[trainer])
    return sorted((knob for knob in _knobs_of(trainer) if knob.name in names), key=lambda knob: names.index(knob.name))


def _hint(knob: Knob) -> str:
    """What it does; its unit, its range."""
    facts = [t(f"new.unit_{knob.unit}")] if knob.unit else []
    if knob.limits:
        facts.append(knob.limits)
    if not knob.choices and knob.kind in ("whole number", "number"):
        facts.insert(0, t("new.kind_whole" if knob.kind == "whole number" else "new.kind_number"))
    ending = f" ({', '.join(facts)})" if facts else ""
    return t(f"parameters.help.{knob.name}") + ending


def _default_text(knob: Knob) -> str:
    if knob.name == "chat_template":
        return t("new.automatic")
    return t("new.default", value=t("new.none") if knob.default is None else _as_typed(knob.default))


def _typed(knob: Knob, said: Any) -> Any:
    """A number where it is one; what is none stays as it was typed, to be complained about."""
    if not isinstance(said, str):
        return said
    text = said.strip()
    try:
        if knob.kind == "whole number":
            return int(text)
        return float(text) if knob.kind == "number" else text
    except ValueError:
        return text


def _as_typed(value: Any) -> str:
    """As a user would write it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parse(text: str) -> tuple[dict[str, Any], str]:
    """The values, and what is wrong."""
    try:
        values = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        return {}, t("new.json_broken", line=error.lineno, column=error.colno)
    except RecursionError:
        return {}, t("new.json_object")
    if not isinstance(values, dict):
        return {}, t("new.json_object")
    elsewhere = [name for name in values if name in ELSEWHERE]
    if elsewhere:
        return {}, t("new.json_elsewhere", names=", ".join(elsewhere))
    placed = [name for name in values if name in PLACED]
    if placed:
        return {}, t("new.json_placed", names=", ".join(placed))
    return values, ""


def _joined(problems: dict[str, str]) -> str:
    kept = {name: one for name, one in problems.items() if name not in PLACED}
    return "  ".join(f"{name}: {one}" if name else one for name, one in kept.items())
