"""Try it: a conversation with a model beside its base; of a reward model, scores of answers."""

from pathlib import Path

from nicegui import app, ui

from autotrain.app.components.parts import add_looks
from autotrain.app.components.text import paragraph
from autotrain.app.pages.chat.choose import choose
from autotrain.app.pages.chat.score import ScorePage
from autotrain.app.pages.chat.talk import TalkPage
from autotrain.app.pages.frame import frame, page
from autotrain.app.state import AppState
from autotrain.app.talks import Subject, TalkProblem, embedded_subject, subject_of
from autotrain.app.words import t
from autotrain.errors import RunFolderError

_CSS = Path(__file__).with_name("chat.css")


def register(state: AppState) -> None:
    @page("/chat")
    def chat_page(run: str = "", model: str = "") -> None:  # pyright: ignore[reportUnusedFunction]
        if not run and not model:
            with frame("chat.title", active="chat"):
                add_looks(_CSS)
                choose(state)
            return
        try:
            subject = _subject(state, run, model)
        except RunFolderError as problem:
            return _refused(problem)
        with frame("chat.with", active="chat", name=subject.label):
            add_looks(_CSS)
            owner = str(app.storage.browser["id"])
            if subject.gives_scores:
                ScorePage(state.talks.kept.scoring(owner, subject))
            else:
                TalkPage(state.talks.kept.conversation(owner, subject))


def _subject(state: AppState, run: str, model: str) -> Subject:
    """Raises TalkProblem, NoSuchRun."""
    if not run:
        return embedded_subject(model)
    if not (run.isascii() and run.isdigit()):
        raise TalkProblem("gone", name=run)
    return subject_of(state.feeds.run(int(run)).view())


def _refused(problem: RunFolderError) -> None:
    with frame("chat.not_now", active="chat"):
        paragraph(str(problem)).props("role=alert")
        ui.link(t("chat.other"), "/chat")
