"""What is shown where there is no page, or where one failed; and where AutoTrain's old page was."""

from fastapi import Request, Response
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import RedirectResponse
from nicegui import Client, app, ui
from starlette.exceptions import HTTPException

from autotrain import log
from autotrain.app.components.text import paragraph
from autotrain.app.pages.frame import frame, page
from autotrain.app.state import AppState
from autotrain.app.words import t


def register(state: AppState) -> None:
    prefix = state.settings.prefix

    @app.get("/ui", include_in_schema=False)
    @app.get("/ui/", include_in_schema=False)
    def old_page() -> Response:  # pyright: ignore[reportUnusedFunction]
        return RedirectResponse(f"{prefix}/", status_code=307)

    app.add_exception_handler(404, not_found)
    app.on_page_exception(_failed)


async def not_found(request: Request, problem: Exception) -> Response:
    """A page of its own for a person who may see pages; for programs, and strangers at a public path, a line."""
    path, is_stranger = request.url.path, "autotrain.visitor" not in request.scope
    is_data = "/api/" in path or "/_nicegui" in path or "text/html" not in request.headers.get("accept", "text/html")
    if is_stranger or is_data:
        return await http_exception_handler(request, problem if isinstance(problem, HTTPException) else HTTPException(404))
    with Client(page(""), request=request) as client:
        missing()
    return client.build_response(request, 404)


def missing(reason: str = "errors.missing_text", **values: object) -> None:
    """The content of a page that isn't there.  reason: key of its words."""
    with frame("errors.missing"):
        paragraph(t(reason, **values))
        ui.link(t("errors.home"), "/")


def _failed(problem: Exception) -> None:
    log.error(f"a page failed: {type(problem).__name__}: {problem}")
    with frame("errors.failed"):
        paragraph(t("errors.failed_text"))
        ui.link(t("errors.home"), "/")
