"""One model's answer as it grows, what it took, and a button that copies it."""

from nicegui import ui

from autotrain.app.components.text import heading
from autotrain.app.talks import Answer
from autotrain.app.words import t
from autotrain.app.words.format import number

# The clipboard's own interface is there for loopback and https only.
_COPY = """() => {
  const text = getHtmlElement(%d).innerText;
  const old = () => {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  (navigator.clipboard ? navigator.clipboard.writeText(text).catch(old) : Promise.resolve(old())).then(() => emit());
}"""


class AnswerView:
    """Built once; `show` changes what differs.  The text is text: whatever a model writes, nothing of it is run."""

    def __init__(self, answer: Answer, who: str, *, is_ours: bool) -> None:
        self._answer = answer
        with ui.element("article").classes("at-answer at-chat-answer").classes("at-answer-ours" if is_ours else ""):
            with ui.element("div").classes("at-row"):
                heading(who, level=3).classes("at-chat-who at-grow")
                self._copy = ui.button(t("chat.copy")).props(f'flat dense aria-label="{t("chat.copy_of", who=who)}"')
            self._text = ui.label().classes("at-said at-chat-text")
            self._state = ui.label().classes("at-muted at-small")
        self._copy.on("click", lambda: ui.notify(t("chat.copied")), js_handler=_COPY % self._text.id)

    def show(self) -> None:
        answer = self._answer
        self._text.text = answer.text
        self._text.visible = bool(answer.text)
        self._copy.visible = bool(answer.text) and answer.state == "done"
        self._state.classes(remove="at-bad at-chat-waits")
        self._state.text = self._line()
        if answer.state == "failed":
            self._state.classes("at-bad")
        elif answer.state != "done":
            self._state.classes("at-chat-waits")

    def _line(self) -> str:
        """What happens now, or what it took."""
        answer = self._answer
        if answer.problem is not None:
            return str(answer.problem)
        if answer.state != "done":
            return t(f"chat.is_{answer.state}")
        parts = [t(f"chat.ended_{answer.reason}")] if answer.reason != "end" else []
        if not answer.text:
            parts.append(t("chat.empty"))
        if answer.seconds:
            speed = number(answer.num_tokens / answer.seconds, 2)
            parts.append(t("chat.took", tokens=number(answer.num_tokens), speed=speed))
        if answer.num_forgotten:
            parts.append(t("chat.forgotten", count=answer.num_forgotten))
        return " · ".join(parts)
