"""PUT and DELETE /api/token: the hub's token that the settings page was given.  It is never sent back."""

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException
from pydantic import BaseModel, SecretStr

from autotrain.app.state import AppState
from autotrain.app.words import t
from autotrain.errors import HubError


class TokenOwner(BaseModel):
    """Whose token is used now."""

    name: str


def routes(state: AppState) -> APIRouter:
    router = APIRouter(tags=["token"])
    tokens = state.tokens

    def give(token: Annotated[SecretStr, Body(embed=True, min_length=1, max_length=500)]) -> TokenOwner:
        """Use this token of the hub until the page ends.  It stays in memory."""
        if tokens.is_shared:
            raise HTTPException(409, t("settings.token_by_sign_in"))
        try:
            return TokenOwner(name=tokens.give(SecretStr(token.get_secret_value().strip())))
        except HubError as problem:
            raise HTTPException(422, str(problem)) from problem

    def forget() -> None:
        """Forget the token that was given."""
        tokens.forget()

    router.add_api_route("/token", give, methods=["PUT"])
    router.add_api_route("/token", forget, methods=["DELETE"], status_code=204)
    return router
