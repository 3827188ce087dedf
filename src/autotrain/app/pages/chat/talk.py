"""The conversation: what was asked, what both models answered, and where the next question is typed."""

import asyncio
from collections.abc import Callable

from nicegui import context, ui
from nicegui.events import GenericEventArguments

from autotrain.app.components.live import follow
from autotrain.app.components.text import heading, paragraph
from autotrain.app.pages.chat.answer import AnswerView
from autotrain.app.pages.chat.settings import settings_form
from autotrain.app.talks import Conversation, Turn
from autotrain.app.words import t
from autotrain.app.words.format import number

# Answers grow up to ten times a second on the screen.
_PAUSE_SECONDS = 0.1
_LONG_QUESTION = 400  # characters
# Not in the midst of composing a Chinese or Japanese word, and not for a new line.
_ON_ENTER = (
    "(e) => { if (e.isComposing || e.keyCode === 229 || e.shiftKey) return; e.preventDefault(); emit(e.target.value); }"
)


class TalkPage:
    """Shows what the conversation holds; the conversation goes on without it."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._turns: list[tuple[Turn, list[AnswerView]]] = []
        self._head()
        settings_form(conversation)
        self._room = (
            ui.element("div")
            .classes("at-column at-chat-turns")
            .props(f'role=log aria-live=off aria-label="{t("chat.conversation")}"')
        )
        self._composer()
        self._spoken = ui.label().classes("at-chat-spoken").props("role=status")
        conversation.load()
        self._show()
        follow(conversation.watch, _at_most_every(_PAUSE_SECONDS, self._show), self._show)

    def _head(self) -> None:
        subject = self._conversation.subject
        with ui.element("section").classes("at-card at-chat-head").props(f'aria-label="{t("chat.model")}"'):
            with ui.element("div").classes("at-row"):
                self._spinner = ui.spinner(size="1.2em").props("aria-hidden=true")
                self._state = ui.label().props("role=status").classes("at-grow")
                if subject.run:
                    ui.link(t("chat.to_run"), f"/run/{subject.run}")
                ui.link(t("chat.other"), "/chat")
            if subject.base is not None:
                switch = ui.switch(
                    t("chat.compare"),
                    value=self._conversation.settings.compares,
                    on_change=lambda event: self._conversation.set(compares=bool(event.value)),
                )
                switch.props(f'aria-label="{t("chat.compare")}"')
            elif subject.missing_base:
                paragraph(t("talk.base_gone", name=subject.label, base=subject.missing_base)).classes("at-muted at-small")

    def _composer(self) -> None:
        with ui.element("form").classes("at-card at-chat-composer").props(f'aria-label="{t("chat.ask")}"') as form:
            form.on("submit.prevent", js_handler="() => {}")
            self._box = (
                ui.textarea(t("chat.message"), placeholder=t("chat.message_hint"), value=self._conversation.draft)
                .props('autogrow autofocus maxlength=400000 input-style="max-height: 12rem"')
                .on_value_change(lambda event: self._keep(str(event.value or "")))
                .on("keydown.enter", self._on_enter, js_handler=_ON_ENTER)
            )
            with ui.element("div").classes("at-row"):
                self._send = ui.button(t("chat.send"), on_click=lambda: self._ask(str(self._box.value or "")))
                self._stop = ui.button(t("chat.stop"), on_click=self._conversation.stop).props("outline color=negative")
                ui.element("div").classes("at-grow")
                self._again = ui.button(t("chat.again"), on_click=self._conversation.ask_again).props("flat")
                self._clear = ui.button(t("chat.clear"), on_click=self._conversation.clear).props("flat")

    def _keep(self, draft: str) -> None:
        # What was typed last may arrive after the Enter that sent it.
        is_sent = self._conversation.is_busy and draft.strip() == self._conversation.turns[-1].question
        self._conversation.draft = "" if is_sent else draft

    def _on_enter(self, event: GenericEventArguments) -> None:
        self._ask(str(event.args or ""))

    def _ask(self, text: str) -> None:
        if not text.strip() or self._conversation.is_busy:
            return
        self._box.value = text
        self._box.value = self._conversation.draft = ""
        self._conversation.ask(text)
        self._box.run_method("focus")

    # What is shown

    def _show(self) -> None:
        conversation = self._conversation
        self._show_state()
        turns = conversation.turns
        shown = [turn for turn, _ in self._turns]
        if len(shown) > len(turns) or any(one is not other for one, other in zip(shown, turns, strict=False)):
            self._room.clear()
            self._turns = []
        for turn in turns[len(self._turns) :]:
            self._turns.append((turn, self._turn(turn)))
        for _, views in self._turns:
            for view in views:
                view.show()
        is_busy = conversation.is_busy
        self._send.visible, self._stop.visible = not is_busy, is_busy
        self._again.visible = self._clear.visible = bool(turns) and not is_busy
        self._room.visible = bool(turns)
        done = t("chat.done") if turns and not is_busy else ""
        self._spoken.text = t("chat.answering") if is_busy else done

    def _show_state(self) -> None:
        conversation = self._conversation
        facts, problem = conversation.facts, conversation.problem
        self._spinner.visible = facts is None and problem is None
        self._state.classes(remove="at-bad", add="at-bad" if problem else "")
        if problem is not None:
            self._state.text = str(problem)
        elif facts is None:
            self._state.text = t("chat.loading")
        else:
            kind = "chat.is_chat" if facts["kind"] == "chat" else "chat.is_text"
            self._state.text = t(kind, device=_device(str(facts["device"])), tokens=number(facts["max_tokens"]))

    def _turn(self, turn: Turn) -> list[AnswerView]:
        with self._room, ui.element("section").classes("at-chat-turn") as section:
            heading(t("chat.you"), level=3).classes("at-chat-who")
            # Keys scroll a long one.
            is_long = len(turn.question) > _LONG_QUESTION
            ui.label(turn.question).classes("at-chat-question at-said").props("tabindex=0" if is_long else "")
            with ui.element("div").classes("at-chat-answers"):
                views = [AnswerView(turn.tuned, t("chat.tuned") if turn.base else t("chat.model"), is_ours=True)]
                if turn.base is not None:
                    views.append(AnswerView(turn.base, t("chat.base"), is_ours=False))
        section.run_method("scrollIntoView", {"block": "start"})
        return views


def _device(name: str) -> str:
    return t("chat.on_gpu") if name in ("cuda", "mps") else t("chat.on_cpu")


def _at_most_every(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
    """`action`, called in the page; calls that come sooner are put together."""
    place = context.slot
    waits = False

    def act() -> None:
        nonlocal waits
        waits = False
        if not place.parent.client.is_deleted:
            with place:
                action()

    def ask() -> None:
        nonlocal waits
        if not waits:
            waits = True
            asyncio.get_running_loop().call_later(seconds, act)

    return ask
