"""The latest sample answers of several runs, side by side."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from autotrain.app.components.answers import question, said
from autotrain.app.components.text import paragraph
from autotrain.app.words import t
from autotrain.app.words.format import number

Row = Mapping[str, Any]


class Answers:
    """A card for each question, with a column for each run that was asked it."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self._shown: dict[str, dict[int, Row]] | None = None
        self._place = ui.element("div").classes("at-column")

    def show(self, samples: Mapping[int, list[dict[str, Any]]]) -> None:
        """samples: of each run."""
        questions = latest_answers(samples)
        if questions == self._shown:
            return
        self._shown = questions
        self._place.clear()
        with self._place:
            if not questions:
                paragraph(t("run.no_samples")).classes("at-muted")
            for asked, answers in questions.items():
                self._card(asked, answers)

    def _card(self, asked: str, answers: Mapping[int, Row]) -> None:
        with ui.element("article").classes("at-card"):
            question(asked)
            with ui.element("div").classes("at-grid"):
                for run, row in answers.items():
                    said(
                        t("compare.answer_of", name=self._names[run], step=number(row["step"])), row["answer"], is_ours=True
                    )
                reference = next((row["reference"] for row in answers.values() if row.get("reference")), "")
                if reference:
                    said(t("run.reference"), reference)


def latest_answers(rows: Mapping[int, list[dict[str, Any]]]) -> dict[str, dict[int, Row]]:
    """question -> run -> its latest answer; questions that most runs were asked come first.  rows: of each run, in order."""
    found: dict[str, dict[int, Row]] = {}
    for run, samples in rows.items():
        for row in samples:
            found.setdefault(row["prompt"], {})[run] = row
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
