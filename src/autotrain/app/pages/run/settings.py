"""What the run was started with, as a config file and as a command."""

from nicegui import ui

from autotrain.app.components.text import heading, paragraph
from autotrain.app.feeds import RunFeed
from autotrain.app.words import as_said, t
from autotrain.errors import RunFolderError


def settings_used(feed: RunFeed) -> None:
    try:
        config, command = feed.config_yaml(), feed.command()
    except RunFolderError as problem:
        paragraph(as_said(problem)).classes("at-warn")
        return
    heading(t("run.as_config"))
    paragraph(t("run.settings_hint")).classes("at-muted")
    with ui.element("div").classes("at-row"):
        _copy_button(config)
        ui.button(t("run.save_config"), on_click=lambda: ui.download.content(config, "config.yaml")).props("outline")
    _code(config, t("run.as_config"))
    heading(t("run.as_command"))
    with ui.element("div").classes("at-row"):
        _copy_button(command)
    _code(command, t("run.as_command"))


def _copy_button(text: str) -> None:
    copied = t("run.copied")

    def copy() -> None:
        ui.clipboard.write(text)
        ui.notify(copied)

    ui.button(t("run.copy"), on_click=copy).props("outline")


def _code(text: str, label: str) -> None:
    with ui.element("pre").classes("at-code").props(f'tabindex=0 role=region aria-label="{label}"'):
        ui.label(text).classes("at-run-code")
