"""Sign-in with Hugging Face on a Space whose card says `hf_oauth: true`: who is there, and what they let us do for them.

The authorization code flow of OpenID Connect with PKCE.  A browser holds a random number and nothing else; tokens stay in
this process's memory.  Only the Space's owner, and members of the organisation that owns it, get in.
"""

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from autotrain import log
from autotrain.errors import ConfigError, HubError
from autotrain.hub.client import explained

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

LOGIN, BACK, LOGOUT = "/login/huggingface", "/auth", "/logout"
SESSION_COOKIE, STATE_COOKIE = "autotrain-session", "autotrain-state"
STATE_SECONDS = 600.0
_MAX_WAITING = 1000
_NEEDED = (
    "OAUTH_CLIENT_ID",
    "OAUTH_CLIENT_SECRET",
    "OAUTH_SCOPES",
    "OPENID_PROVIDER_URL",
    "SPACE_HOST",
    "SPACE_AUTHOR_NAME",
)


@dataclass(frozen=True, repr=False)
class Session:
    """Who is signed in.  expires: seconds since the epoch.  Has no repr that could be logged: the token."""

    name: str
    token: str
    expires: float


@dataclass(frozen=True, repr=False)
class _Waiting:
    """A sign-in that has begun: PKCE's verifier, and until when it may come back."""

    verifier: str
    expires: float


class SignIn:
    """The sign-in of one Space."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """environment: of a process in a Space.  Raises ConfigError where the Space offers no sign-in."""
        missing = [name for name in _NEEDED if not environment.get(name)]
        if missing:
            raise ConfigError(
                f"sign-in needs {', '.join(missing)}: the hub sets them on a Space whose README.md says hf_oauth: true, as "
                "autotrain space create makes it"
            )
        self.owner = environment["SPACE_AUTHOR_NAME"]
        self._id, self._secret = environment["OAUTH_CLIENT_ID"], environment["OAUTH_CLIENT_SECRET"]
        log.hide_secret(self._secret)
        self._scopes = environment["OAUTH_SCOPES"]
        self._provider = environment["OPENID_PROVIDER_URL"].rstrip("/")
        self._back = f"https://{environment['SPACE_HOST']}{BACK}"
        self._waiting: dict[str, _Waiting] = {}
        self._sessions: dict[str, Session] = {}

    def routes(self) -> "list[Route]":
        """The routes to sign in and out, for an application of FastAPI or Starlette."""
        from starlette.routing import Route

        return [Route(LOGIN, self.login), Route(BACK, self.come_back), Route(LOGOUT, self.logout)]

    def session(self, cookies: Mapping[str, str]) -> Session | None:
        """Whose browser sent these cookies, or None."""
        found = self._sessions.get(cookies.get(SESSION_COOKIE, ""))
        return found if found and found.expires > time.time() else None

    def login(self, request: "Request") -> "Response":
        """Send the browser to the hub."""
        from starlette.responses import RedirectResponse

        self._forget_old()
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        if len(self._waiting) < _MAX_WAITING:
            self._waiting[state] = _Waiting(verifier, time.time() + STATE_SECONDS)
        asked = {
            "client_id": self._id,
            "redirect_uri": self._back,
            "scope": self._scopes,
            "response_type": "code",
            "state": state,
            "code_challenge": _challenge(verifier),
            "code_challenge_method": "S256",
        }
        answer = RedirectResponse(f"{self._provider}/oauth/authorize?{urlencode(asked)}", status_code=303)
        _set(answer, STATE_COOKIE, state, STATE_SECONDS)
        return answer

    def come_back(self, request: "Request") -> "Response":
        """The browser is back from the hub: let it in if it is the one that left, and belongs here."""
        from starlette.responses import RedirectResponse

        state = request.query_params.get("state", "")
        begun = self._waiting.pop(state, None)
        if begun is None or begun.expires < time.time() or request.cookies.get(STATE_COOKIE) != state:
            return _refused(400, "This sign-in is unknown or too old; begin again.")
        code = request.query_params.get("code")
        if not code:
            return _refused(403, "You have not been signed in: the hub was told not to.")
        try:
            name, organisations, session = self._ask(code, begun.verifier)
        except HubError as problem:
            log.error(str(problem))
            return _refused(502, "The hub didn't confirm the sign-in; try again later.")
        if self.owner not in (name, *organisations):
            return _refused(403, f"This Space belongs to {self.owner}, and {name} isn't one of them.")
        number = secrets.token_urlsafe(32)
        self._sessions[number] = session
        answer = RedirectResponse("/", status_code=303)
        _set(answer, SESSION_COOKIE, number, session.expires - time.time())
        answer.delete_cookie(STATE_COOKIE)
        return answer

    def logout(self, request: "Request") -> "Response":
        """Forget the browser and its token."""
        from starlette.responses import RedirectResponse

        self._sessions.pop(request.cookies.get(SESSION_COOKIE, ""), None)
        answer = RedirectResponse("/", status_code=303)
        answer.delete_cookie(SESSION_COOKIE)
        return answer

    def _ask(self, code: str, verifier: str) -> tuple[str, tuple[str, ...], Session]:
        """Name, organisations and session of who came back with `code`.  Raises HubError."""
        from huggingface_hub import get_session
        from huggingface_hub.utils import hf_raise_for_status

        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._back, "code_verifier": verifier}
        with explained("signing in"):
            client: Any = get_session()
            answer = client.post(
                f"{self._provider}/oauth/token", data={**form, "client_id": self._id}, auth=(self._id, self._secret)
            )
            hf_raise_for_status(answer)
            given: dict[str, Any] = answer.json()
            token = str(given["access_token"])
            log.hide_secret(token)
            about = client.get(f"{self._provider}/oauth/userinfo", headers={"Authorization": f"Bearer {token}"})
            hf_raise_for_status(about)
            person: dict[str, Any] = about.json()
        organisations = tuple(str(one.get("preferred_username") or one.get("name")) for one in person.get("orgs") or ())
        name = str(person["preferred_username"])
        return name, organisations, Session(name, token, time.time() + float(given.get("expires_in") or 3600))

    def _forget_old(self) -> None:
        now = time.time()
        self._waiting = {state: one for state, one in self._waiting.items() if one.expires > now}
        self._sessions = {number: one for number, one in self._sessions.items() if one.expires > now}


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _set(answer: "Response", name: str, value: str, seconds: float) -> None:
    # The hub shows a Space inside a page of its own, so the cookie has to be sent there too.
    answer.set_cookie(name, value, max_age=int(seconds), secure=True, httponly=True, samesite="none")


def _refused(status: int, sentence: str) -> "Response":
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(f"{sentence}\n", status_code=status)
