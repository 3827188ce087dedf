"""What the run was started with, as a config file."""

from nicegui import ui

from autotrain.app.components.text import paragraph
from autotrain.app.feeds import RunFeed
from autotrain.app.words import t
from autotrain.errors import RunFolderError


def settings_used(feed: RunFeed) -> None:
    try:
        text = feed.config_yaml()
    except RunFolderError as problem:
        paragraph(str(problem)).classes("at-warn")
        return
    paragraph(t("run.settings_hint")).classes("at-muted")
    with ui.element("div").classes("at-row"):
        copied = t("run.copied")
        ui.button(t("run.copy"), on_click=lambda: (ui.clipboard.write(text), ui.notify(copied))).props("outline")
        ui.button(t("run.save_config"), on_click=lambda: ui.download.content(text, "config.yaml")).props("outline")
    with ui.element("pre").classes("at-code").props(f'tabindex=0 role=region aria-label="{t("run.tab_settings")}"'):
        ui.label(text).style("white-space: pre")
