"""What every part of the double shares: a call that came in, the answer to it, the refusal, and the table of routes."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from hub_double.accounts import Access
    from hub_double.double import HubDouble

KIND = r"(?P<kind>model|dataset|space)s"
REPO = r"(?P<repo_id>[^/]+/[^/]+)"
REVISION = r"(?P<revision>[^/]+)"
PREFIXES = {"": "model", "datasets/": "dataset", "spaces/": "space"}
"""The start of a repository's web address -> its kind."""


def now() -> str:
    """The time as the hub writes it, to the millisecond."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass
class Request:
    """One request as it came in, kept for the tests.

    headers: lower-case names; the authorization header is replaced by `user:NAME` (`user:?` for an unknown token).
    status: what was answered; "cut" where the connection was cut before an answer."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""
    status: int | str = 0

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """body: everything at once; events: a stream that is sent as it comes, instead of a body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    events: Iterator[bytes] | None = None


class Refused(Exception):
    """The answer is an error, with the headers that the client reads."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, **(body or {})}
        self.headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}

    def answer(self) -> Answer:
        return as_json(self.body, self.status, self.headers)


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


@dataclass
class Call:
    """One request on its way through the double. access: whose token came with it, None without a token."""

    hub: "HubDouble"
    request: Request
    access: "Access | None"

    @property
    def body(self) -> bytes:
        return self.request.body

    def json(self) -> Any:
        return json.loads(self.request.body or b"{}")

    def query(self, name: str, default: str = "") -> str:
        return self.request.query.get(name, [default])[-1]

    def signed_in(self) -> "Access":
        if self.access is None:
            raise Refused(401, "Invalid username or password.")
        return self.access


Handler = Callable[..., Answer]


@dataclass(frozen=True)
class Route:
    """handler(call, **groups of the pattern, unquoted)."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler

    def match(self, method: str, path: str) -> dict[str, str] | None:
        found = self.pattern.fullmatch(path) if method == self.method or (method, self.method) == ("HEAD", "GET") else None
        return None if found is None else {name: unquote(value or "") for name, value in found.groupdict().items()}


def route(method: str, pattern: str, handler: Handler) -> Route:
    return Route(method, re.compile(pattern), handler)
