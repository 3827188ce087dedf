"""The login: plain HTML, since nothing of NiceGUI is served to strangers."""

import html
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from autotrain import __version__
from autotrain.api.sign_in import LOGIN as SPACE_LOGIN
from autotrain.app.access import COOKIE, LOGIN, LOGOUT, SESSION_SECONDS, Access, Password, TooManyTries
from autotrain.app.space_access import SpaceAccess
from autotrain.app.state import AppState
from autotrain.app.theme import request_theme
from autotrain.app.words import language, t

_PAGE = """\
<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – AutoTrain</title>
<script src="{static}/shell.js" data-prefix="{prefix}" data-theme="{theme}"></script>
<link rel="stylesheet" href="{static}/theme.css">
<link rel="icon" href="{static}/favicon.svg">
</head>
<body class="at-login">
<main class="at-card">
<h1 class="at-title">{title}</h1>
{body}
</main>
</body>
</html>
"""
_FORM = """\
<p class="at-muted">{hint}</p>
<form method="post" class="at-column">
<label for="password">{label}</label>
<input id="password" class="at-input" name="password" type="password" autocomplete="current-password"
 required autofocus {invalid}>
<p id="problem" class="at-bad" role="alert">{problem}</p>
<button type="submit" class="at-button">{button}</button>
</form>
"""
# A new tab: inside the hub's frame a browser may hold cookies back.
_SPACE = '<p class="at-muted">{hint}</p>\n<p><a class="at-button" href="{link}" target="_blank">{button}</a></p>\n'


def routes(state: AppState) -> APIRouter:
    """Signing in and out, where one has to."""
    prefix, access = state.settings.prefix, state.access
    router = APIRouter(include_in_schema=False)

    async def login(request: Request) -> Response:
        if await access.visitor(request.cookies, "", ""):
            return RedirectResponse(_next(request, prefix), status_code=303)
        return _page(access, prefix)

    router.add_api_route(LOGIN, login, response_model=None)
    if isinstance(access, Password):
        _add_password(router, access, prefix)
    if isinstance(access, SpaceAccess):
        router.routes.extend(access.sign_in.routes())
    return router


def _add_password(router: APIRouter, access: Password, prefix: str) -> None:
    def sign_in(request: Request, password: Annotated[str, Form(max_length=1000)]) -> Response:
        address = request.client.host if request.client else ""
        try:
            session = access.sign_in(password, address)
        except TooManyTries:
            return _page(access, prefix, t("login.too_many"), status=429)
        if session is None:
            return _page(access, prefix, t("login.wrong"), status=401)
        answer = RedirectResponse(_next(request, prefix), status_code=303)
        answer.set_cookie(COOKIE, session, max_age=SESSION_SECONDS, path=f"{prefix}/", httponly=True, samesite="lax")
        return answer

    def sign_out(request: Request) -> Response:
        access.sign_out(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse(f"{prefix}{LOGIN}", status_code=303)
        answer.delete_cookie(COOKIE, path=f"{prefix}/")
        return answer

    router.add_api_route(LOGIN, sign_in, methods=["POST"], response_model=None)
    router.add_api_route(LOGOUT, sign_out, methods=["POST"], response_model=None)


def _next(request: Request, prefix: str) -> str:
    """Where they wanted to go: a path of ours, nowhere else."""
    wanted = request.query_params.get("next", "/")
    parts = urlsplit(wanted)
    is_ours = not parts.scheme and not parts.netloc and wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    return prefix + (wanted if is_ours and wanted.isprintable() else "/")


def _page(access: Access, prefix: str, problem: str = "", status: int = 200) -> Response:
    if isinstance(access, SpaceAccess):
        hint, button = t("login.space_hint", owner=access.sign_in.owner), t("login.space_button")
        body = _SPACE.format(hint=html.escape(hint), button=html.escape(button), link=f"{prefix}{SPACE_LOGIN}")
    else:
        body = _FORM.format(
            hint=html.escape(t("login.hint")),
            label=html.escape(t("login.password")),
            button=html.escape(t("login.button")),
            problem=html.escape(problem),
            invalid='aria-invalid="true" aria-describedby="problem"' if problem else "",
        )
    static = f"{prefix}/static/{__version__}"
    shown = _PAGE.format(
        language="zh-CN" if language() == "zh" else "en",
        title=html.escape(t("login.title")),
        static=static,
        prefix=prefix,
        theme=request_theme.get(),
        body=body,
    )
    return HTMLResponse(shown, status_code=status, headers={"Cache-Control": "no-store"})
