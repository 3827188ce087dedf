"""POST /api/preferences: language and theme of a browser, kept in its cookies."""

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Response

from autotrain.app.state import AppState
from autotrain.app.theme import THEME_COOKIE
from autotrain.app.words import LANGUAGE_COOKIE

_SECONDS = 365 * 86_400


def routes(state: AppState) -> APIRouter:
    router = APIRouter()

    @router.post("/preferences", status_code=204, include_in_schema=False)
    def prefer(
        language: Annotated[Literal["en", "zh"] | None, Body()] = None,
        theme: Annotated[Literal["light", "dark", ""] | None, Body()] = None,
    ) -> Response:
        answer = Response(status_code=204)
        for name, value in ((LANGUAGE_COOKIE, language), (THEME_COOKIE, theme)):
            if value is not None:
                is_framed = state.settings.on_space
                answer.set_cookie(
                    name,
                    value,
                    max_age=_SECONDS,
                    path=f"{state.settings.prefix}/",
                    httponly=True,
                    secure=is_framed,
                    samesite="none" if is_framed else "lax",
                )
        return answer

    return router
