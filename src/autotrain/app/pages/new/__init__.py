"""A new run, step by step: task, base model, data, settings, where to run, summary."""

from nicegui import app, ui

from autotrain.app.components.text import paragraph
from autotrain.app.drafts.checked import taken_names
from autotrain.app.drafts.draft import Draft, draft_of, free_name
from autotrain.app.pages.frame import frame, page
from autotrain.app.pages.new.wizard import Wizard
from autotrain.app.state import AppState
from autotrain.app.words import t
from autotrain.errors import AutoTrainError

# In the browser's storage here, which is on the server.
DRAFT = "new"


def register(state: AppState) -> None:
    @page("/new")
    async def new_page() -> None:  # pyright: ignore[reportUnusedFunction]
        request = ui.context.client.request
        before = str(request.query_params.get("from", ""))
        stored = app.storage.user.get(DRAFT)
        draft, problem = Draft.from_dict(stored if isinstance(stored, dict) else {}), ""
        if before:
            draft, problem = _again(state, before, draft)
        with frame("new.title", active="new"):
            if problem:
                paragraph(problem).props("role=alert").classes("at-bad")
            wizard = Wizard(state, draft, _keep)
            wizard.keep()
            wizard.show()
        if before:  # a reload must not throw away what was changed since
            await ui.context.client.connected()
            ui.run_javascript("history.replaceState(history.state, '', location.pathname)")


def _keep(draft: Draft) -> None:
    """On disk, so without what looks like a token of the hub, in whichever field it was typed."""
    app.storage.user[DRAFT] = draft.without_secrets()


def _again(state: AppState, number: str, draft: Draft) -> tuple[Draft, str]:
    """The draft of a run that is to be run again with changes; or the one there was, and why not."""
    if not (number.isascii() and number.isdigit()):
        return draft, t("new.no_such_run")
    try:
        feed = state.feeds.run(int(number))
        params, backend = feed.params(), feed.view().backend
    except AutoTrainError:
        return draft, t("new.no_such_run")
    again = draft_of(params, backend, state.datasets)
    from dataclasses import replace

    return replace(again, project_name=free_name(params.project_name, taken_names(state.workspace))), ""
