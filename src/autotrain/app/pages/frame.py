"""What all pages share: language, theme, head, header, navigation, skip link, one heading."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import cast

from nicegui import context, ui
from nicegui.language import Language

from autotrain import __version__
from autotrain.app.access import Visitor
from autotrain.app.components.text import heading
from autotrain.app.theme import THEMES, request_theme
from autotrain.app.words import LANGUAGES, language, t

_NAVIGATION = MappingProxyType({"runs": "/runs", "new": "/new", "chat": "/chat", "settings": "/settings"})
_TAGS: Mapping[str, Language] = MappingProxyType({"en": "en-US", "zh": "zh-CN"})


# NiceGUI gives a page up after 3 s by default, and asking a busy machine what it has may take longer.
_BUILD_SECONDS = 60.0


class page(ui.page):
    """Declares a page: `@page("/runs")`.  In the language and theme of whoever asks."""

    def __init__(self, path: str) -> None:
        super().__init__(path, response_timeout=_BUILD_SECONDS)

    def resolve_language(self) -> Language:
        return _TAGS[language()]

    def resolve_dark(self) -> bool | None:
        return THEMES[request_theme.get()]


@contextmanager
def frame(title: str, active: str = "", **values: object) -> Generator[None]:
    """The frame around a page's content.

    title: key of its words, which is the heading too.  active: runs, new, chat or settings, as in the navigation.
    """
    text = t(title, **values)
    ui.page_title(f"{text} – AutoTrain")
    _head()
    client = context.client
    with client.layout, ui.element("header").classes("at-header") as header:
        _brand()
        _navigation(active)
        _tools()
    header.move(target_index=0)
    heading(text, level=1).classes("at-title")
    yield
    ui.skip_link(t("frame.skip"), target=client.content)


def visitor() -> Visitor:
    """Who looks at the page that is being built."""
    return cast(Visitor, context.client.request.scope["autotrain.visitor"])


def set_defaults() -> None:
    """How parts look that say nothing else; once, before pages are built."""
    ui.button.default_props("no-caps unelevated")
    for field in (ui.input, ui.number, ui.textarea, ui.select):
        field.default_props("outlined")
    ui.card.default_props("flat bordered")


def _head() -> None:
    prefix = context.client.request.scope.get("root_path", "")
    static = f"{prefix}/static/{__version__}"
    ui.add_head_html(
        f'<script src="{static}/shell.js" data-prefix="{prefix}" data-theme="{request_theme.get()}"></script>'
        f'<link rel="stylesheet" href="{static}/theme.css">'
    )


def _brand() -> None:
    ui.link("AutoTrain", "/").classes("at-brand")


def _navigation(active: str) -> None:
    with ui.element("nav").classes("at-nav").props(f'aria-label="{t("frame.nav")}"'):
        for name, path in _NAVIGATION.items():
            link = ui.link(t(f"frame.{name}"), path).classes("at-nav-link")
            if name == active:
                link.props("aria-current=page")


def _tools() -> None:
    with ui.element("div").classes("at-tools"):
        person = visitor().name
        if person:
            ui.label(t("frame.signed_in", name=person)).classes("at-muted at-small")
        for code, name in LANGUAGES.items():
            if code != language():
                _tool(name, f"autotrain.language('{code}')").props(f"lang={_TAGS[code]}")
        _tool("◐", "autotrain.toggleTheme()").props(f'aria-label="{t("frame.theme")}"')


def _tool(text: str, script: str) -> ui.element:
    button = ui.element("button").classes("at-tool").props("type=button")
    with button:
        ui.label(text)
    return button.on("click", js_handler=f"() => {script}")
