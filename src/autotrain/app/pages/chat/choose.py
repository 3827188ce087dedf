"""Which model is tried: the runs that have ended, and models that come along."""

from nicegui import ui

from autotrain.app.components.text import heading, paragraph
from autotrain.app.feeds import RunView
from autotrain.app.state import AppState
from autotrain.app.talks import TalkProblem, embedded_subjects, subject_of
from autotrain.app.words import t
from autotrain.app.words.format import moment

_MOST = 50
_STAGES = ("finished", "stopped", "interrupted", "failed", "unknown")


def choose(state: AppState) -> None:
    """Into the page that is being built."""
    _, views = state.feeds.list("", _STAGES, 0, _MOST)
    usable = [view for view in views if _is_usable(view)]
    heading(t("chat.your_models"))
    if usable:
        with ui.element("ul").classes("at-chat-models"):
            for view in usable:
                _entry(view.name, f"/chat?run={view.number}", f"{view.base_model} · {moment(view.started)}")
    else:
        paragraph(t("chat.no_models")).classes("at-muted")
        ui.link(t("chat.train_one"), "/new")
    heading(t("chat.ready_models"))
    paragraph(t("chat.ready_hint")).classes("at-muted")
    with ui.element("ul").classes("at-chat-models"):
        for subject in embedded_subjects():
            _entry(subject.label, f"/chat?model={subject.name}", t("chat.untrained"))


def _is_usable(view: RunView) -> bool:
    try:
        subject_of(view)
    except TalkProblem:
        return False
    return True


def _entry(name: str, address: str, about: str) -> None:
    with ui.element("li").classes("at-card"):
        ui.link(name, address)
        ui.label(about).classes("at-muted at-small")
