"""Who may see the page: everybody on this machine, whoever knows the password, or on a Space its owner."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from autotrain import log
from autotrain.app.key import derived, page_key
from autotrain.app.pace import Pace
from autotrain.app.settings import Settings
from autotrain.run_folder import write_text

COOKIE = "autotrain-login"
LOGIN, LOGOUT = "/login", "/logout"
SESSION_SECONDS = 30 * 86_400
# Wrong passwords from one address, and from all: beyond, even a right one is refused until the time is over.
_TRIES, _TRIES_OF_ALL, _TRY_SECONDS = 5, 50, 60.0
_BEARER = "bearer "
_TOKEN_LENGTH = 32
_SIGNED_OUT = "page-signed-out"


@dataclass(frozen=True, repr=False)
class Visitor:
    """Who is there.  name: "" where nobody has one.  token: the hub's, of their own.  No repr that could be logged."""

    name: str = ""
    token: SecretStr | None = None


class Access(Protocol):
    """What lets visitors in."""

    @property
    def demands_login(self) -> bool: ...

    @property
    def login(self) -> str:
        """Path where a browser signs in."""
        ...

    async def visitor(self, cookies: Mapping[str, str], authorization: str, address: str) -> Visitor | None:
        """Who sent these from `address`; None if they have to sign in first.  authorization: the header, or ""."""
        ...


class Open:
    """No login: only programs on this machine get here."""

    demands_login = False
    login = LOGIN

    async def visitor(self, cookies: Mapping[str, str], authorization: str, address: str) -> Visitor | None:
        return Visitor()


class Password:
    """A password, or the token that stands in for one, as a session's cookie or `Authorization: Bearer`."""

    demands_login = True
    login = LOGIN

    def __init__(self, key: bytes, password: SecretStr | None, signed_out: Path | None = None) -> None:
        """password: None for a token made from `key`, the same at each start.  signed_out: file of ended sessions."""
        self._is_token = password is None
        said = password.get_secret_value() if password else derived(key, "login token")[:_TOKEN_LENGTH]
        self._password = SecretStr(said)
        log.hide_secret(said)
        # Another password ends all sessions.
        self._session_key = bytes.fromhex(derived(key, f"sessions of {said}"))
        self._pace = Pace(_TRIES, _TRY_SECONDS)
        self._pace_of_all = Pace(_TRIES_OF_ALL, _TRY_SECONDS)
        self._signed_out = signed_out
        self._ended = _still_valid(signed_out)

    @property
    def token(self) -> SecretStr | None:
        """The token to print at start; None if there is a password, which its owner knows."""
        return self._password if self._is_token else None

    async def visitor(self, cookies: Mapping[str, str], authorization: str, address: str) -> Visitor | None:
        if authorization.lower().startswith(_BEARER):
            try:
                return Visitor() if self._try(authorization[len(_BEARER) :], address) else None
            except TooManyTries:
                return None
        return Visitor() if self._is_session(cookies.get(COOKIE, "")) else None

    def sign_in(self, password: str, address: str) -> str | None:
        """A new session for the cookie, or None if `password` is wrong.  Raises TooManyTries."""
        if not self._try(password, address):
            return None
        said = f"{int(time.time()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{said}.{self._signature(said)}"

    def sign_out(self, session: str) -> None:
        """Take `session` no longer."""
        if self._is_session(session):
            said = session.rpartition(".")[0]
            self._ended.add(said)
            if self._signed_out:
                with suppress(OSError):  # then it holds until the server ends
                    write_text(self._signed_out, "\n".join(sorted(self._ended)))

    def _try(self, password: str, address: str) -> bool:
        """Whether it is the password.  Raises TooManyTries, whatever it is, after too many wrong ones."""
        if not (self._pace.is_free(address) and self._pace_of_all.is_free("")):
            raise TooManyTries
        is_right = hmac.compare_digest(password.strip().encode(), self._password.get_secret_value().encode())
        if not is_right:
            self._pace.note(address)
            self._pace_of_all.note("")
        return is_right

    def _is_session(self, session: str) -> bool:
        said, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(said).encode()) or said in self._ended:
            return False
        return _end_of(said) > time.time()

    def _signature(self, said: str) -> str:
        return hmac.new(self._session_key, said.encode(), hashlib.sha256).hexdigest()


def _end_of(said: str) -> int:
    """When a session ends by itself.  said: the session without its signature, which opens nothing."""
    return int(said.partition(".")[0])


def _still_valid(signed_out: Path | None) -> set[str]:
    """Sessions in this file that would hold still."""
    if signed_out is None or not signed_out.is_file():
        return set()
    lines = signed_out.read_text(encoding="utf-8", errors="replace").splitlines()
    return {line for line in lines if line.partition(".")[0].isdecimal() and _end_of(line) > time.time()}


class TooManyTries(Exception):
    """Wrong passwords, too often: wait a minute."""


def access_of(settings: Settings) -> Access:
    """What `settings` demand.  Raises ConfigError."""
    if settings.on_space:
        import os

        from autotrain.app.space_access import SpaceAccess

        return SpaceAccess(os.environ)
    if settings.is_loopback and settings.password is None and not settings.domains and not settings.demands_login:
        return Open()
    return Password(page_key(settings.home), settings.password, settings.home / _SIGNED_OUT)
