"""Fields with name, hint and error: plain HTML, so that a label, a hint and an error belong to their field for everyone.

What a reader types stays in the browser until it is said, so the value that a field begins with is its default value: the
page's framework would put a plain `value` back with each of its updates.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from autotrain.app.components.html import Tag

_CSS = Path(__file__).with_suffix(".css")

Change = Callable[[Any], Awaitable[None]]


def add_field_looks() -> None:
    ui.add_css(_CSS)


class Field:
    """A field in the page.  `show_error` says what is wrong beside it."""

    def __init__(self, name: str) -> None:
        """name: its id, once in a page."""
        self.name = name
        self.control: Element
        self._error: Tag

    def show_error(self, sentence: str) -> None:
        """Say it, or take it back with an empty one."""
        if self._error.text != sentence:
            self._error.text = sentence
        if sentence:
            self.control.props("aria-invalid=true")
        else:
            self.control.props(remove="aria-invalid")

    def focus(self) -> None:
        ui.run_javascript(f"document.getElementById({json.dumps(self.name)})?.focus()")

    def _end(self, hint: str) -> None:
        """Hint and error, which describe the control."""
        described = f"{self.name}-error"
        if hint:
            Tag("div", hint, id=f"{self.name}-hint", class_="at-field-hint")
            described = f"{self.name}-hint {described}"
        self._error = Tag("div", "", id=f"{self.name}-error", class_="at-field-error", role="alert")
        self.control.props(f'aria-describedby="{described}"')


class TextField(Field):
    """One line; `changed` is called when the reader leaves it, or presses Enter.

    placeholder: what holds while it is empty.
    """

    def __init__(
        self, name: str, label: str, value: str, changed: Change, *, hint: str = "", placeholder: str = "", **attributes: str
    ) -> None:
        super().__init__(name)
        with ui.element("div").classes("at-field"):
            Tag("label", label, for_=name)
            self.control = Tag(
                "input", id=name, defaultValue=value, placeholder=placeholder, autocomplete="off", **attributes
            )
            self._end(hint)
        _hear(self.control, changed, "event.target.value")

    def show(self, value: str) -> None:
        """Put a value in."""
        where, text = json.dumps(self.name), json.dumps(value)
        ui.run_javascript(
            f"(() => {{ const field = document.getElementById({where}); if (field) field.value = {text}; }})()"
        )


class AreaField(Field):
    """Several lines."""

    def __init__(self, name: str, label: str, value: str, changed: Change, *, hint: str = "") -> None:
        super().__init__(name)
        with ui.element("div").classes("at-field"):
            Tag("label", label, for_=name)
            self.control = Tag("textarea", id=name, spellcheck="false")
            self.control.props["defaultValue"] = value
            self._end(hint)
        _hear(self.control, changed, "event.target.value")


class SwitchField(Field):
    """On or off."""

    def __init__(self, name: str, label: str, value: bool, changed: Change, *, hint: str = "") -> None:
        super().__init__(name)
        with ui.element("div").classes("at-field"):
            with Tag("label", class_="at-switch"):
                self.control = Tag("input", id=name, type="checkbox")
                self.control.props["defaultChecked"] = value
                Tag("span", label, class_="at-field-name")
            self._end(hint)
        _hear(self.control, changed, "event.target.checked")


class SelectField(Field):
    """One of a few.  options: value -> text."""

    def __init__(
        self, name: str, label: str, options: Mapping[str, str], value: str, changed: Change, *, hint: str = ""
    ) -> None:
        super().__init__(name)
        with ui.element("div").classes("at-field"):
            Tag("label", label, for_=name)
            with Tag("select", id=name) as self.control:
                for one, text in options.items():
                    option = Tag("option", text, value=one)
                    if one == value:
                        option.props("selected")
            self._end(hint)
        _hear(self.control, changed, "event.target.value")


@dataclass(frozen=True)
class Choice:
    """value: what is chosen.  about: what it means, a line each."""

    value: str
    title: str
    about: Sequence[str] = ()
    is_free: bool = True


class ChoiceField(Field):
    """One of several that need words, as cards."""

    def __init__(self, name: str, legend: str, choices: Sequence[Choice], value: str, changed: Change) -> None:
        super().__init__(name)
        with Tag("fieldset", class_="at-choices", id=name, tabindex="-1") as self.control:
            Tag("legend", legend)
            for choice in choices:
                self._card(choice, value, changed)
        self._end("")

    def show(self, value: str) -> None:
        """Have that one chosen, or none if it isn't among them."""
        group, said = json.dumps(f"input[name={json.dumps(self.name)}]"), json.dumps(value)
        ui.run_javascript(f"document.querySelectorAll({group}).forEach((one) => {{ one.checked = one.value === {said}; }})")

    def _card(self, choice: Choice, value: str, changed: Change) -> None:
        with Tag("label", class_="at-choice"):
            option = Tag("input", type="radio", name=self.name, value=choice.value)
            if choice.value == value:
                option.props("checked")
            if not choice.is_free:
                option.props("disabled")
            with Tag("span", class_="at-choice-text"):
                Tag("span", choice.title, class_="at-choice-title")
                for line in choice.about:
                    Tag("span", line, class_="at-muted at-small")
        _hear(option, changed, "event.target.value")


def _hear(control: Element, changed: Change, value: str) -> None:
    async def on_change(event: GenericEventArguments) -> None:
        await changed(event.args)

    control.on("change", on_change, js_handler=f"(event) => emit({value})")
