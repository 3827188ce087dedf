"""The guard in front of everything: which host, from which page, who, how much.  Pure ASGI, so it sees websockets too."""

import ipaddress
import json
import socket
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import cookie_parser

from autotrain import log
from autotrain.api.sign_in import SESSION_COOKIE, STATE_COOKIE
from autotrain.app.access import Access
from autotrain.app.pace import Pace
from autotrain.app.settings import LOOPBACK, Settings
from autotrain.app.theme import request_theme, theme_of
from autotrain.app.tokens import visitor_token
from autotrain.app.words import language_of, request_language

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UPLOADS = "/api/datasets"
BODY_BYTES = 4 * 1024**2
# For whoever watches whether the server is well, under any name.
_HEALTH = ("/health", "/api/health")
# What the login page needs, and the sign-in of a Space.
_PUBLIC = ("/login", "/login/huggingface", "/auth", "/logout", "/favicon.ico", *_HEALTH)
_SOCKET = "/_nicegui_ws/"
_READING = ("GET", "HEAD", "OPTIONS")
# Each page that is built stays in memory for a while.
_PAGES, _PAGES_SECONDS = 120, 60.0
# NiceGUI needs inline scripts and eval; every other host is out.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors {ancestors}"
)
_HUB = "https://huggingface.co"
_SIGN_IN_COOKIES = (f"{SESSION_COOKIE}=".encode(), f"{STATE_COOKIE}=".encode())


@dataclass(frozen=True)
class Refusal:
    """status: of HTTP.  detail: one sentence for a person."""

    status: int
    detail: str
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Guard:
    """Lets through to `app` what may pass."""

    def __init__(self, app: App, settings: Settings, access: Access, public: Iterable[str]) -> None:
        """public: beginnings of paths that need no login, beside the login's own."""
        self.app, self._settings, self._access = app, settings, access
        self._public = tuple(public)
        self._hosts = _hosts(settings)
        self._pace = Pace(_PAGES, _PAGES_SECONDS)
        ancestors = f"'self' {_HUB}" if settings.on_space else "'none'"
        self._headers = (
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),  # no-referrer would hide the origin of our own forms
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"content-security-policy", _POLICY.format(ancestors=ancestors).encode()),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request = Asked(scope)
        refusal = self._refusal(request) or await self._who(request)
        if refusal is not None:
            await self._refuse(request, refusal, send)
            return
        # Where we lie is for the settings to say, not for whoever asks.
        scope["headers"] = [one for one in scope["headers"] if one[0] != b"x-forwarded-prefix"]
        request_language.set(language_of(request.cookies, request.header("accept-language")))
        request_theme.set(theme_of(request.cookies))
        if request.is_websocket:
            await self.app(scope, receive, send)
        else:
            await self._bounded(request, receive, self._with_headers(send))

    async def _bounded(self, request: "Asked", receive: Receive, send: Send) -> None:
        """Pass it on, and cut a body that is longer than it said, or said nothing."""
        body = Bounded(receive, self._limit(request.path))
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            if not body.is_over or has_begun:
                has_begun = True
                await send(message)

        try:
            await self.app(request.scope, body, sending)
        except Exception:
            if not body.is_over:
                raise
            if has_begun:  # nothing can be said any more to whoever asked
                log.error(f"{request.path}: an answer that had begun was cut off with its sender:\n{traceback.format_exc()}")
            # Before that, what the handler makes of a sender who left is no failure of its own.
        if body.is_over and not has_begun:
            await _answer(request, self._too_large(request.path), send)

    def _refusal(self, request: "Asked") -> Refusal | None:
        """By what is asked, whoever it is."""
        if request.path not in _HEALTH and not self._knows(request.host):
            return Refusal(421, f"this page isn't served under the name {request.host!r}; start it with --domain NAME")
        if not self._is_from_here(request):
            return Refusal(403, "this request comes from another site, which may not act here")
        length = request.header("content-length")
        if length and (not length.isdigit() or int(length) > self._limit(request.path)):
            return self._too_large(request.path)
        return None

    def _too_large(self, path: str) -> Refusal:
        return Refusal(413, f"too large: at most {self._limit(path):,} bytes are taken here")

    def _knows(self, host: str) -> bool:
        name = _without_port(host)
        if name in self._hosts:
            return True
        # A number can't be made to point here by a stranger's DNS; and a login is demanded.
        return self._access.demands_login and not self._settings.on_space and _is_address(name)

    def _is_from_here(self, request: "Asked") -> bool:
        """Whether none but our own pages, and programs that aren't browsers, can have sent this."""
        origin, site = request.header("origin"), request.header("sec-fetch-site")
        if request.is_websocket or request.path.startswith(_SOCKET):
            has_origin = origin != "" or (not request.is_websocket and site == "same-origin")
            return has_origin and _is_same(origin, request.host) and site != "cross-site"
        if request.method not in _READING:
            # A browser says where a change comes from; who says nothing and has a cookie is no program of ours.
            return _is_same(origin, request.host) and site != "cross-site" and (origin != "" or not request.cookies)
        if site == "cross-site":
            return request.header("sec-fetch-dest") in self._may_embed
        return True

    @property
    def _may_embed(self) -> tuple[str, ...]:
        """As what another site may show us: where a link leads; the hub shows a Space in a frame."""
        return ("document", "iframe") if self._settings.on_space else ("document",)

    async def _who(self, request: "Asked") -> Refusal | None:
        """Note who it is, or say why they may not."""
        visitor = await self._access.visitor(request.cookies, request.header("authorization"), request.address)
        if visitor is None:
            return None if self._is_public(request.path) else self._sign_in_first(request)
        request.scope["autotrain.visitor"] = visitor
        visitor_token.set(visitor.token)
        if request.is_page:
            address = request.address
            if not self._pace.is_free(address):
                return Refusal(429, "too many pages at once; wait a minute")
            self._pace.note(address)
        return None

    def _is_public(self, path: str) -> bool:
        return path in _PUBLIC or path.startswith(self._public)

    def _sign_in_first(self, request: "Asked") -> Refusal:
        if request.is_websocket or not request.is_page:
            return Refusal(401, "sign in first, or send Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        query = request.scope.get("query_string", b"").decode("latin-1")
        back = quote(request.path + (f"?{query}" if query else ""), safe="")
        return Refusal(303, "sign in first", {"Location": f"{self._settings.prefix}/login?next={back}"})

    def _limit(self, path: str) -> int:
        return self._settings.upload_bytes if path.startswith(UPLOADS) else BODY_BYTES

    async def _refuse(self, request: "Asked", refusal: Refusal, send: Send) -> None:
        if request.is_websocket:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.detail})
        else:
            await _answer(request, refusal, self._with_headers(send))

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                had = [self._cookie(*one) for one in message.get("headers", ())]
                message["headers"] = [*had, *self._headers]
            await send(message)

        return sending

    def _cookie(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        """On a Space, which the hub shows inside its own page, strict browsers keep a cookie only if it is partitioned.

        But not a sign-in's: it happens in a tab of its own, and is to hold inside the hub's page too, where a browser
        lets it.
        """
        is_ours = self._settings.on_space and name.lower() == b"set-cookie"
        if is_ours and not value.startswith(_SIGN_IN_COOKIES) and b"partitioned" not in value.lower():
            return name, value + b"; Partitioned"
        return name, value


class Asked:
    """What a request or a websocket says of itself."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._headers: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            had = self._headers.get(name)
            said = value.decode("latin-1")
            self._headers[name] = said if had is None else f"{had},{said}"  # two hosts are none that we know
        self.is_websocket = scope["type"] == "websocket"
        self.method = str(scope.get("method", ""))
        self.cookies = cookie_parser(self.header("cookie"))
        self.host = self.header("host").lower()
        root = scope.get("root_path", "")
        path = str(scope["path"])
        self.path = path[len(root) :] or "/" if root and path.startswith(root) else path

    def header(self, name: str) -> str:
        return self._headers.get(name.encode(), "")

    @property
    def address(self) -> str:
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    @property
    def is_page(self) -> bool:
        """Whether a person asked for a page, and no program or script for data."""
        return self.method in ("GET", "HEAD") and not self.path.startswith(("/api/", "/_nicegui", "/static/", *_PUBLIC))


class Bounded:
    """Receives a body up to `limit` bytes, and says that the sender left if there is more."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._left = receive, limit

    @property
    def is_over(self) -> bool:
        return self._left < 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self.is_over:
                return {"type": "http.disconnect"}
        return message


async def _answer(request: Asked, refusal: Refusal, send: Send) -> None:
    body = json.dumps({"detail": refusal.detail}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else body})


def _hosts(settings: Settings) -> frozenset[str]:
    """Names that the page is asked for by."""
    if settings.on_space:
        return frozenset(settings.domains)
    names = {*LOOPBACK, "[::1]", *settings.domains}
    if not settings.is_loopback:
        own = socket.gethostname().lower()
        names |= {settings.host, own, f"{own}.local", socket.getfqdn().lower()}
    return frozenset(names)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _is_same(origin: str, host: str) -> bool:
    """Whether `origin`, if there is one, is the page's own."""
    if not origin:
        return True
    parts = urlsplit(origin)
    standard = {"http": ":80", "https": ":443"}.get(parts.scheme)
    return standard is not None and parts.netloc.lower().removesuffix(standard) == host.removesuffix(standard)
