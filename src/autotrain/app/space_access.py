"""On a Space: the hub says who is there.  Browsers sign in, programs bring a token of the hub."""

import asyncio
import hashlib
import time
from collections.abc import Mapping

from pydantic import SecretStr

from autotrain import log
from autotrain.api.sign_in import LOGIN, SignIn
from autotrain.app.access import Visitor
from autotrain.app.pace import Pace
from autotrain.errors import HubError

_BEARER = "bearer "
_KNOWN_SECONDS, _MAX_KNOWN = 300.0, 100
# Tokens that the hub is asked about, a minute.
_ASKED, _ASKED_SECONDS = 30, 60.0


class SpaceAccess:
    """The owner of the Space, and members of the organisation that owns it."""

    demands_login = True
    login = LOGIN

    def __init__(self, environment: Mapping[str, str]) -> None:
        """environment: of a process in a Space.  Raises ConfigError where the Space offers no sign-in."""
        self.sign_in = SignIn(environment)
        self._known: dict[str, tuple[float, str | None]] = {}
        self._pace = Pace(_ASKED, _ASKED_SECONDS)

    async def visitor(self, cookies: Mapping[str, str], authorization: str, address: str) -> Visitor | None:
        if authorization.lower().startswith(_BEARER):
            return await self._with_token(authorization[len(_BEARER) :].strip())
        session = self.sign_in.session(cookies)
        return Visitor(session.name, SecretStr(session.token)) if session else None

    async def _with_token(self, token: str) -> Visitor | None:
        """Whose `token` it is, if they belong here; the hub is asked at most every five minutes."""
        mark = hashlib.sha256(token.encode()).hexdigest()
        until, name = self._known.get(mark, (0.0, None))
        if until < time.monotonic():
            if not self._pace.is_free(""):
                return None
            self._pace.note("")
            try:
                name = await asyncio.to_thread(self._name_of, token)
            except HubError as problem:
                log.error(str(problem))
                return None
            while len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[mark] = (time.monotonic() + _KNOWN_SECONDS, name)
        return Visitor(name, SecretStr(token)) if name else None

    def _name_of(self, token: str) -> str | None:
        """None if they don't belong here.  Raises HubError."""
        from autotrain.hub.client import account, open_api

        person = account(open_api(token))
        if self.sign_in.owner not in (person.name, *person.organisations):
            return None
        log.hide_secret(token)
        return person.name
