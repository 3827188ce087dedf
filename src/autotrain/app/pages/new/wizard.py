"""The steps around one draft: which is open, going on only when it is sound, and what stands under each of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nicegui import context, ui

from autotrain.app.components.confirm import Confirm
from autotrain.app.components.field import add_field_looks
from autotrain.app.components.html import Tag
from autotrain.app.components.parts import add_looks
from autotrain.app.drafts.checked import Checked, check
from autotrain.app.drafts.draft import STEPS, Draft
from autotrain.app.pages.new.data import DataStep
from autotrain.app.pages.new.model import ModelStep
from autotrain.app.pages.new.place import PlaceStep
from autotrain.app.pages.new.settings import SettingsStep
from autotrain.app.pages.new.step import Seen, Step
from autotrain.app.pages.new.summary import SummaryStep
from autotrain.app.pages.new.task import TaskStep
from autotrain.app.pages.new.written import WrittenDialog
from autotrain.app.state import AppState
from autotrain.app.words import t
from autotrain.errors import AutoTrainError

_CSS = Path(__file__).with_name("new.css")
_MAKERS: dict[str, Callable[["Wizard"], Step]] = {
    "task": TaskStep,
    "model": ModelStep,
    "data": DataStep,
    "settings": SettingsStep,
    "place": PlaceStep,
    "summary": SummaryStep,
}
# Where a field is mended; the others are settings.
_STEP_OF = {
    "trainer": "task",
    "model": "model",
    **dict.fromkeys(("data_path", "train_split", "valid_split", "text_column", "prompt_text_column"), "data"),
    **dict.fromkeys(("rejected_text_column", "label_column", "skip_bad_rows"), "data"),
    "backend": "place",
    "project_name": "summary",
}


class Wizard:
    """Built into the page; `show` draws the step that is open."""

    def __init__(self, state: AppState, draft: Draft, keep: Callable[[Draft], None]) -> None:
        self.state, self.draft, self._keep = state, draft, keep
        self.seen = Seen()
        self.client = context.client
        add_looks(_CSS)
        add_field_looks()
        with ui.element("nav").props(f'aria-label="{t("new.steps")}"'):
            self._track = Tag("ol", class_="at-steps")
        self._panel = ui.element("section").classes("at-column at-step")
        self._message = Tag("div", "", role="alert", class_="at-bad")
        self._buttons = ui.element("div").classes("at-row at-step-buttons")
        self._written = WrittenDialog(self)
        self._over = Confirm(t("new.over_question"), t("new.over_explained"), t("new.over"), self._start_over)
        self._step: Step

    @property
    def is_gone(self) -> bool:
        return self.client.is_deleted

    def set(self, **changes: Any) -> None:
        """Change the draft, and keep it."""
        self.draft = replace(self.draft, **changes)
        self.keep()

    def keep(self) -> None:
        self._keep(self.draft)

    def checked(self, *, needs_name: bool = False) -> Checked:
        """The draft as parameters."""
        state = self.state
        return check(self.draft, state.datasets, state.workspace, state.settings.custom_models, needs_name=needs_name)

    def say(self, problem: str) -> None:
        """What is wrong with the step as a whole."""
        self._message.text = problem

    def show(self, *, focus: bool = False) -> None:
        name = STEPS[self.draft.step]
        self.say("")
        self._draw_track()
        self._panel.clear()
        with self._panel:
            Tag("h2", t("new.step_title", number=self.draft.step + 1, title=t(f"new.{name}")), id="step", tabindex="-1")
            self._step = _MAKERS[name](self)
        self._draw_buttons(name)
        if name in ("model", "data"):
            ui.timer(0, self._warm_up, once=True)
        if focus:
            ui.run_javascript("const step = document.getElementById('step'); step.focus(); step.scrollIntoView()")

    async def _warm_up(self) -> None:
        """The data come next or are there: whoever looks into them takes seconds to begin."""
        try:
            await self.state.previews.warm_up()
        except AutoTrainError:
            return  # who asks it something will hear of it

    async def go(self, step: int) -> None:
        """Back always; on only from a step that is sound."""
        if step > self.draft.step and not await self._is_sound():
            return
        self.set(step=step, reached=max(self.draft.reached, step))
        self.show(focus=True)

    def go_to_problem(self, problems: dict[str, str]) -> bool:
        """Open the first step that has one of these problems; False if that is the step that is open."""
        steps = [STEPS.index(_STEP_OF.get(field, "settings" if field else "summary")) for field in problems]
        first = min(steps)
        if first == self.draft.step:
            return False
        self.set(step=first)
        self.show(focus=True)
        self._step.show_problems(problems)
        return True

    async def _start_over(self, _: bool) -> None:
        self.draft = Draft()
        self.keep()
        self.seen = Seen()
        self.show(focus=True)

    async def _is_sound(self) -> bool:
        problems = await self._step.problems()
        self._step.show_problems(problems)
        self.say(problems.get("", "") or (t("new.mend") if problems else ""))
        return not problems

    def _draw_track(self) -> None:
        self._track.clear()
        with self._track:
            for number, name in enumerate(STEPS):
                with Tag("li"):
                    label = f"{number + 1} {t(f'new.{name}')}"
                    button = Tag("button", type="button", class_="at-step-link", aria_label=label)
                    with button:
                        Tag("span", str(number + 1), class_="at-step-number", aria_hidden="true")
                        Tag("span", t(f"new.{name}"))
                    if number == self.draft.step:
                        button.props("aria-current=step")
                    if number > self.draft.reached:
                        button.props("disabled")
                    button.on("click", lambda _, number=number: self.go(number))

    def _draw_buttons(self, name: str) -> None:
        self._buttons.clear()
        with self._buttons:
            if self.draft.step:
                ui.button(t("new.back"), on_click=lambda: self.go(self.draft.step - 1)).props("outline")
            if name != "summary":
                ui.button(t("new.next"), on_click=lambda: self.go(self.draft.step + 1)).classes("at-next")
            Tag("span", class_="at-grow")
            ui.button(t("new.as_config"), on_click=lambda: self._written.open("config")).props("flat dense")
            ui.button(t("new.as_command"), on_click=lambda: self._written.open("command")).props("flat dense")
            ui.button(t("new.over"), on_click=lambda: self._over.open()).props("flat dense")
