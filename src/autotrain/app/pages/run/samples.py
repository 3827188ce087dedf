"""Sample answers, as they change over the run."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from autotrain.app.components.answers import question, said
from autotrain.app.components.text import paragraph
from autotrain.app.words import t
from autotrain.app.words.format import number

Row = Mapping[str, Any]


class Samples:
    """A slider over the validations, and the answers of the one that it stands at."""

    def __init__(self) -> None:
        self._rows: list[Row] | None = None
        self._steps: list[int] = []
        self._follows = True
        self._hint = paragraph(t("run.samples_hint")).classes("at-muted")
        with ui.element("div").classes("at-row at-samples-steps") as self._tools:
            self._earlier = ui.button("←", on_click=lambda: self._move(-1)).props(f'outline aria-label="{t("run.earlier")}"')
            self._slider = ui.slider(min=0, max=1, step=1, value=0, on_change=self._chosen).props(
                f'aria-label="{t("run.samples_at")}" markers snap'
            )
            self._later = ui.button("→", on_click=lambda: self._move(1)).props(f'outline aria-label="{t("run.later")}"')
            self._where = ui.label().props("role=status")
        self._tools.visible = False
        self._answers = ui.element("div").classes("at-column")

    def show(self, rows: Sequence[Row]) -> None:
        """rows: of samples.jsonl, all."""
        if rows == self._rows:
            return
        self._rows = list(rows)
        self._steps = sorted({row["step"] for row in rows})
        self._tools.visible = len(self._steps) > 1
        last = max(0, len(self._steps) - 1)
        self._slider.props(f"max={max(1, last)}")
        at = last if self._follows else min(self._at(), last)
        if self._slider.value == at:
            self._draw(at)
        else:
            self._slider.value = at

    def _move(self, by: int) -> None:
        self._slider.value = min(max(0, self._at() + by), len(self._steps) - 1)

    def _chosen(self) -> None:
        at = self._at()
        self._follows = at >= len(self._steps) - 1
        self._draw(at)

    def _at(self) -> int:
        return int(self._slider.value or 0)

    def _draw(self, at: int) -> None:
        self._answers.clear()
        with self._answers:
            if not self._steps:
                paragraph(t("run.no_samples")).classes("at-muted")
                return
            step = self._steps[at]
            self._where.text = t("run.samples_step", step=number(step), at=at + 1, of=len(self._steps))
            for row in (row for row in self._rows or () if row["step"] == step):
                answer_card(row, step, self._first_answer(row, step))

    def _first_answer(self, row: Row, step: int) -> str | None:
        """What the model answered before the first step; None where that isn't known, or is shown."""
        first = self._steps[0]
        if first == step:
            return None
        before = (one for one in self._rows or () if one["step"] == first and one["prompt"] == row["prompt"])
        return next((one["answer"] for one in before), None)


def answer_card(row: Row, step: int, first: str | None) -> None:
    with ui.element("article").classes("at-card"):
        question(row["prompt"])
        with ui.element("div").classes("at-grid"):
            if first is not None:
                said(t("run.before"), first)
            said(t("run.before") if step == 0 else t("run.after_steps", step=number(step)), row["answer"], is_ours=True)
            if row.get("reference"):
                said(t("run.reference"), row["reference"])
