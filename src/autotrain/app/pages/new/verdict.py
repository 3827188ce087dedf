"""What data are worth for the task, in a sentence or two; what to do where they aren't; and what is left out."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nicegui import ui

from autotrain.app.components.field import SwitchField
from autotrain.app.components.html import Tag
from autotrain.app.components.text import heading, paragraph
from autotrain.app.drafts.tasks import FIRST_OF_KIND, KIND_OF_TRIED, PAIR, TASKS
from autotrain.app.words import t
from autotrain.app.words.format import number

if TYPE_CHECKING:
    from autotrain.app.pages.new.data import DataStep

_MANY_BAD = 0.2
# Reasons as the worker names them -> key of the words.
REASONS = {
    "empty": "empty",
    "malformed": "malformed",
    "no assistant turn": "no_answer",
    "nothing to train on": "nothing",
    "nothing to train on after the cut": "cut_away",
    "no prompt": "no_prompt",
    "empty answer": "empty_answer",
    "identical answers": "identical",
    "dialogues that differ before the last turn": "different",
    "answer cut to nothing": "cut_away",
    "longer than block_size": "too_long",
}


def reason_text(reason: str) -> str:
    """A reason for which rows are left out, in words."""
    return t(f"new.reason_{REASONS[reason]}") if reason in REASONS else reason


class Verdict:
    def __init__(self, step: "DataStep", preview: dict[str, Any], with_names: Callable[[str], str]) -> None:
        self._step, self._preview, self._with_names = step, preview, with_names
        self._task = TASKS[step.wizard.draft.trainer]
        with ui.element("section").classes("at-card at-verdict"):
            if not self._mismatch() and not self._problem():
                self._good()
            self._left_out()

    def _mismatch(self) -> bool:
        """Data that are for another task, and a button that takes it."""
        kinds = [KIND_OF_TRIED[one] for one in self._preview.get("fits", ())]
        if not kinds or self._task.data in kinds or (self._preview["problem"] is None and kinds != [PAIR]):
            return False
        kind = kinds[-1]
        heading(t(f"new.looks_{kind}")).classes("at-warn")
        paragraph(t("new.looks_hint", task=t(f"new.task_{self._task.trainer}"))).props("role=alert")
        trainer = FIRST_OF_KIND[kind]
        with ui.element("div").classes("at-row"):
            ui.button(t("new.switch_to", task=t(f"new.task_{trainer}")), on_click=lambda: self._step.switch_task(trainer))
        return True

    def _problem(self) -> bool:
        problem = self._preview["problem"]
        if problem is None:
            return False
        heading(t(f"new.problem_{problem['stage']}")).classes("at-bad")
        paragraph(t(f"new.problem_{problem['stage']}_do")).props("role=alert")
        with Tag("details"):
            Tag("summary", t("new.problem_said"))
            paragraph(self._with_names(problem["text"])).classes("at-mono")
        return True

    def _good(self) -> None:
        preview = self._preview
        kind = "talk" if preview["is_conversation"] and self._task.data == "text" else self._task.data
        heading(t(f"new.good_{kind}")).classes("at-good")
        names = ", ".join(f"“{name}”" for name in preview["used"])
        said = t("new.good_columns", names=names) if names else t("new.good_bare")
        paragraph(said + (" " + t("new.good_suggested") if preview.get("suggested") else ""))

    def _left_out(self) -> None:
        preview = self._preview
        counts = preview.get("counts")
        if not counts:
            return
        if counts["rows_cut"]:
            cut = t("new.cut", rows=number(counts["rows_cut"]), read=number(counts["rows_in"]), limit=preview["block_size"])
            paragraph(cut).classes("at-small")
        left_out = counts["left_out"]
        if not left_out:
            return
        total = sum(left_out.values())
        text = t("new.left_out", count=number(total), read=number(counts["rows_in"]))
        paragraph(text).classes("at-warn" if total > _MANY_BAD * counts["rows_in"] else "")
        with Tag("details"):
            Tag("summary", t("new.left_out_why"))
            with Tag("ul", class_="at-list"):
                for reason, row in preview["left_out"]:
                    Tag("li", f"{reason_text(reason)}: {self._with_names(row)}", class_="at-small")
        if preview.get("bad_rows"):
            self._skip_switch()

    def _skip_switch(self) -> None:
        wizard = self._step.wizard

        async def changed(is_on: Any) -> None:
            wizard.set(skips_bad_rows=bool(is_on))

        SwitchField("skip-bad-rows", t("new.skip_bad"), wizard.draft.skips_bad_rows, changed, hint=t("new.skip_bad_hint"))
