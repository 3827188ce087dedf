"""Settings: language, theme, the hub's token, and what this is."""

from nicegui import ui

from autotrain import __version__
from autotrain.app.components.text import heading
from autotrain.app.pages.frame import frame, page
from autotrain.app.state import AppState
from autotrain.app.words import t


def register(state: AppState) -> None:
    @page("/settings")
    def settings_page() -> None:  # pyright: ignore[reportUnusedFunction]
        with frame("settings.title", active="settings"):
            _about(state)


def _about(state: AppState) -> None:
    with ui.element("section").classes("at-card"):
        heading(t("settings.about"))
        ui.label(t("settings.version", version=__version__))
        ui.label(t("settings.workspace", folder=state.workspace.root)).classes("at-mono")
