"""How answers are made: each setting with what it does, kept with the conversation."""

from collections.abc import Callable
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from autotrain.app.components.text import paragraph
from autotrain.app.talks import Conversation
from autotrain.app.words import t

# Field -> smallest, largest, step.
_NUMBERS: dict[str, tuple[float, float, float]] = {
    "temperature": (0, 2, 0.1),
    "max_new_tokens": (1, 8192, 1),
    "seed": (0, 2**31 - 1, 1),
    "top_p": (0.05, 1, 0.05),
}
_WHOLE = frozenset({"max_new_tokens", "seed"})


def settings_form(conversation: Conversation) -> None:
    """Into the page that is being built."""
    with ui.element("details").classes("at-card at-chat-settings"):
        with ui.element("summary"):
            ui.label(t("chat.settings")).classes("at-chat-summary")
        with ui.element("div").classes("at-column"):
            ui.textarea(
                t("chat.system"),
                value=conversation.settings.system,
                on_change=lambda event: conversation.set(system=str(event.value or "")),
            ).props(f'autogrow debounce=300 hint="{t("chat.system_hint")}"')
            with ui.element("div").classes("at-grid"):
                for name in _NUMBERS:
                    _number(conversation, name)
            paragraph(t("chat.same_seed")).classes("at-muted at-small")


def _number(conversation: Conversation, name: str) -> None:
    smallest, largest, step = _NUMBERS[name]
    value: Any = getattr(conversation.settings, name)
    field = ui.number(t(f"chat.{name}"), value=value, min=smallest, max=largest, step=step)
    field.props(f'debounce=300 hint="{t(f"chat.{name}_hint")}"')
    field.on_value_change(_keeper(conversation, name, field))


def _keeper(conversation: Conversation, name: str, field: ui.number) -> Callable[[ValueChangeEventArguments], None]:
    smallest, largest, _ = _NUMBERS[name]

    def keep(event: ValueChangeEventArguments) -> None:
        value = event.value
        is_right = isinstance(value, int | float) and smallest <= value <= largest
        is_right = is_right and (name not in _WHOLE or float(value).is_integer())
        field.error = None if is_right else t("chat.out_of_range", smallest=smallest, largest=largest)
        field.props("aria-invalid=true" if not is_right else "aria-invalid=false")
        if is_right:
            conversation.set(**{name: int(value) if name in _WHOLE else float(value)})

    return keep
