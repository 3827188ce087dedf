"""Settings: language and look, the hub's token, and what this is."""

import asyncio
from collections.abc import Mapping

from nicegui import ui

from autotrain import __version__
from autotrain.app.access import LOGOUT
from autotrain.app.components.html import Tag
from autotrain.app.components.text import heading, paragraph
from autotrain.app.machine import Machine, this_machine
from autotrain.app.pages.frame import frame, page, visitor
from autotrain.app.state import AppState
from autotrain.app.theme import request_theme
from autotrain.app.words import LANGUAGES, language, t
from autotrain.app.words.format import size

# The token goes from the field to the API and nowhere else: not through the page's own channel, which keeps values.
_GIVE = "autotrain.giveToken(event, document.getElementById('token'), document.getElementById('token-problem'))"
_FORGET = "autotrain.forgetToken()"


def register(state: AppState) -> None:
    @page("/settings")
    async def settings_page() -> None:  # pyright: ignore[reportUnusedFunction]
        machine = await asyncio.to_thread(this_machine)
        with frame("settings.title", active="settings"):
            _look()
            _token(state)
            if not state.settings.on_space and state.access.demands_login:
                _sign_out(state)
            _about(state, machine)


def _look() -> None:
    with ui.element("section").classes("at-card"):
        heading(t("settings.look"))
        _choice("settings.language", LANGUAGES, language(), "autotrain.language(value)")
        themes = {"": t("settings.theme_system"), "light": t("settings.theme_light"), "dark": t("settings.theme_dark")}
        _choice("settings.theme", themes, request_theme.get(), "autotrain.theme(value)")


def _choice(title: str, options: Mapping[str, str], chosen: str, script: str) -> None:
    """Options one of which is chosen.  script: JavaScript that knows the `value` chosen."""
    with Tag("fieldset", class_="at-fieldset"):
        Tag("legend", t(title))
        for value, text in options.items():
            with Tag("label", class_="at-option"):
                option = Tag("input", type="radio", name=title, value=value)
                if value == chosen:
                    option.props("checked")
                option.on("change", js_handler=f"(event) => {{ const value = event.target.value; {script} }}")
                Tag("span", text)


def _token(state: AppState) -> None:
    with ui.element("section").classes("at-card"):
        heading(t("settings.token"))
        paragraph(t("settings.token_hint")).classes("at-muted")
        if state.tokens.is_shared:
            paragraph(t("settings.token_visitor", name=visitor().name))
            ui.link(t("frame.logout"), LOGOUT)
            return
        paragraph(_who(state)).props("id=token-who")
        with Tag("form", class_="at-row").on("submit", js_handler=f"(event) => {_GIVE}"):
            Tag("label", t("settings.token_label"), for_="token")
            Tag("input", id="token", type="password", autocomplete="off", required="", class_="at-input at-grow")
            Tag("button", t("settings.token_use"), type="submit", class_="at-button")
            if state.tokens.given_name:
                Tag("button", t("settings.token_forget"), type="button", class_="at-button at-quiet").when_clicked(_FORGET)
        Tag("p", id="token-problem", role="alert", class_="at-bad")


def _who(state: AppState) -> str:
    if state.tokens.given_name:
        return t("settings.token_given", name=state.tokens.given_name)
    return t("settings.token_machine" if state.tokens.current() else "settings.token_none")


def _sign_out(state: AppState) -> None:
    with (
        ui.element("section").classes("at-card"),
        Tag("form", method="post", action=f"{state.settings.prefix}{LOGOUT}", class_="at-row"),
    ):
        paragraph(t("settings.signed_in")).classes("at-grow")
        Tag("button", t("frame.logout"), type="submit", class_="at-button at-quiet")


def _about(state: AppState, machine: Machine) -> None:
    with ui.element("section").classes("at-card"):
        heading(t("settings.about"))
        with Tag("dl", class_="at-facts"):
            _fact("settings.version", f"AutoTrain {__version__}")
            _fact("settings.workspace", str(state.workspace.root))
            _fact("settings.jobs", str(state.settings.capacity))
            _fact("settings.cores", str(machine.num_cores))
            if machine.memory_bytes:
                _fact("settings.memory", size(machine.memory_bytes))
            gpus = ", ".join(f"{gpu.name} ({size(gpu.memory_bytes)})" for gpu in machine.gpus)
            _fact("settings.gpus", gpus or t("settings.no_gpu"))
        paragraph(t("settings.independent")).classes("at-muted at-small")
        ui.link(t("settings.api"), "/api/docs")


def _fact(name: str, value: str) -> None:
    Tag("dt", t(name))
    Tag("dd", value)
