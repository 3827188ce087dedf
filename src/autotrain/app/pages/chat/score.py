"""A reward model at work: a question, several answers, and which of them it likes best."""

from functools import partial

from nicegui import ui

from autotrain.app.components.live import follow
from autotrain.app.components.text import heading, paragraph
from autotrain.app.talks import Scoring
from autotrain.app.words import t
from autotrain.app.words.format import number

_MOST_ANSWERS = 8


class ScorePage:
    """Shows what the scoring holds."""

    def __init__(self, scoring: Scoring) -> None:
        self._scoring = scoring
        paragraph(t("chat.score_hint"))
        with ui.element("div").classes("at-row"):
            if scoring.subject.run:
                ui.link(t("chat.to_run"), f"/run/{scoring.subject.run}")
            ui.link(t("chat.other"), "/chat")
        ui.textarea(
            t("chat.score_prompt"), value=scoring.prompt, on_change=lambda event: self._prompt(str(event.value or ""))
        ).props("autogrow debounce=300")
        self._room = ui.element("div").classes("at-column")
        with ui.element("div").classes("at-row"):
            self._button = ui.button(t("chat.score"), on_click=scoring.score)
            self._more = ui.button(t("chat.one_more"), on_click=self._add).props("outline")
            self._state = ui.label().props("role=status")
        self._answers()
        follow(scoring.watch, self._show, self._show)

    def _prompt(self, text: str) -> None:
        self._scoring.prompt = text

    def _answer(self, at: int, text: str) -> None:
        self._scoring.answers[at] = text

    def _add(self) -> None:
        self._scoring.answers.append("")
        self._scoring.scores = []
        self._answers()

    def _answers(self) -> None:
        self._room.clear()
        self._lines: list[tuple[ui.element, ui.label]] = []
        with self._room:
            for at, answer in enumerate(self._scoring.answers):
                with ui.element("section").classes("at-card") as card:
                    heading(t("chat.answer_number", number=at + 1), level=3)
                    ui.textarea(t("chat.score_answer"), value=answer).props(
                        f'autogrow debounce=300 aria-label="{t("chat.answer_number", number=at + 1)}"'
                    ).on_value_change(partial(self._changed, at))
                    self._lines.append((card, ui.label().props("role=status")))
        self._show()

    def _changed(self, at: int, event: object) -> None:
        self._answer(at, str(getattr(event, "value", "") or ""))

    def _show(self) -> None:
        scoring = self._scoring
        self._button.set_enabled(not scoring.is_busy)
        self._more.visible = len(scoring.answers) < _MOST_ANSWERS
        self._state.text = t("chat.scoring") if scoring.is_busy else str(scoring.problem or "")
        self._state.classes(remove="at-bad", add="at-bad" if scoring.problem else "")
        best = scoring.best
        for at, (card, line) in enumerate(self._lines):
            score = scoring.scores[at] if at < len(scoring.scores) else None
            is_best = at == best
            card.classes(remove="at-answer-ours", add="at-answer-ours" if is_best else "")
            line.visible = score is not None
            text = "" if score is None else t("chat.score_is", score=number(score, 3))
            line.text = f"{text} – {t('chat.best')}" if is_best else text
