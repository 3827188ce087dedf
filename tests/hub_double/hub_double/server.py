"""The server on loopback: reads a request, lets it fail where a test wants that, finds its route, sends the answer."""

import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from hub_double import (
    accounts,
    buckets,
    cards,
    commits,
    discussions,
    files,
    hardware,
    jobs,
    lfs,
    oauth,
    repositories,
    spaces,
)
from hub_double.failures import Failure
from hub_double.protocol import Answer, Call, Refused, Request

if TYPE_CHECKING:
    from hub_double.accounts import Access
    from hub_double.double import HubDouble

ROUTES = (
    *accounts.ROUTES,
    *oauth.ROUTES,
    *buckets.ROUTES,
    *cards.ROUTES,
    *hardware.ROUTES,
    *lfs.ROUTES,
    *commits.ROUTES,
    *discussions.ROUTES,
    *spaces.ROUTES,
    *jobs.ROUTES,
    *files.ROUTES,
    *repositories.ROUTES,
)
"""The first that matches answers."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, hub: "HubDouble") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no fault; anything else is one of the double's own."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            self.hub.faults.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65536

    def log_message(self, format: str, *args: Any) -> None:
        """Tests read hub.requests instead."""

    def _respond(self) -> None:
        hub = self.server.hub
        address = urlsplit(self.path)
        failure = hub.failures.take(self.command, self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        access, known = self._whose(headers)
        query = parse_qs(address.query, keep_blank_values=True)
        request = Request(self.command, address.path, query, headers)
        with hub.changed:
            hub.requests.append(request)
        if failure is not None and failure.status == "cut" and (self._has_body() or self.command == "HEAD"):
            request.body, request.status = self._read_body(half=True), "cut"
            return self._cut()
        request.body = self._read_body()
        answer = self._answer(Call(hub, request, access), known, failure)
        request.status = answer.status
        if failure is not None and failure.status == "lost":
            request.status = "cut"
            return self._cut()
        if failure is not None and failure.status == "slow":
            failure.over.wait(failure.seconds)
        self._send(answer, cut=failure is not None and failure.status == "cut")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _respond

    def _whose(self, headers: dict[str, str]) -> "tuple[Access | None, bool]":
        """The access that the token gives, and whether the token is known. Masks the header."""
        given = headers.get("authorization")
        if given is None:
            return None, True
        if given.startswith("Basic "):  # an application at the sign-in, with its own secret
            headers["authorization"], headers["x-client"] = "client", given.removeprefix("Basic ")
            return None, True
        access = self.server.hub.accounts.by_token.get(given.removeprefix("Bearer "))
        headers["authorization"] = f"user:{access.user.name if access else '?'}"
        return access, access is not None

    def _answer(self, call: Call, token_is_known: bool, failure: Failure | None) -> Answer:
        try:
            if failure is not None and isinstance(failure.status, int):
                raise failure.refusal()
            if not token_is_known and not call.request.path.startswith("/storage/"):
                raise Refused(401, "Invalid credentials in Authorization header")
            return self._routed(call)
        except Refused as refused:
            return refused.answer()

    def _routed(self, call: Call) -> Answer:
        path = call.request.path
        for each in ROUTES:
            groups = each.match(call.request.method, path)
            if groups is not None:
                with call.hub.changed:
                    return each.handler(call, **groups)
        kind = path.split("/")[2:3]
        if path.startswith("/api/") and kind in (["models"], ["datasets"], ["spaces"]) and call.request.method == "GET":
            raise Refused(404 if call.access else 401, "Repository not found", "RepoNotFound")
        raise Refused(404, "Sorry, we can't find the page you are looking for.")

    def _has_body(self) -> bool:
        return self.headers.get("Content-Length", "0") != "0" or "chunked" in self.headers.get("Transfer-Encoding", "")

    def _read_body(self, half: bool = False) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return self._read_chunks(half)
        length = int(self.headers.get("Content-Length", "0"))
        return self._read(length // 2 if half else length)

    def _read_chunks(self, first_only: bool) -> bytes:
        content = b""
        while size := int(self._read_line().split(b";")[0], 16):
            content += self._read(size)
            self._read_line()
            if first_only:
                return content
        self._read_line()
        return content

    def _read(self, size: int) -> bytes:
        """Raises ConnectionResetError if the client has gone: half a body is no request."""
        content = self.rfile.read(size)
        if len(content) < size:
            raise ConnectionResetError
        return content

    def _read_line(self) -> bytes:
        line = self.rfile.readline()
        if not line:
            raise ConnectionResetError
        return line

    def _cut(self) -> None:
        """Ends the connection without a word more."""
        self.wfile.flush()
        self.close_connection = True

    def _send(self, answer: Answer, cut: bool) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value.encode("latin-1", "replace").decode("latin-1"))
        if answer.events is not None:
            return self._stream(answer, cut)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: len(answer.body) // 2] if cut else answer.body)
        if cut:
            return self._cut()
        self.wfile.flush()

    def _stream(self, answer: Answer, cut: bool) -> None:
        """Server-sent events as they come. cut: the connection ends after the first."""
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        for event in answer.events or ():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.flush()
            if cut:
                return self._cut()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
