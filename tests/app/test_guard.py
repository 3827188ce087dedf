"""The guard: what it lets through and what not, each row of the recipe in docs/web-page.md."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from autotrain import log
from autotrain.app.access import Access, Open, Password
from autotrain.app.guard import BODY_BYTES, Guard
from autotrain.app.settings import Settings

LOCAL, EVIL = "http://127.0.0.1:7860", "http://evil.example"
PASSWORD = "a good password"
SOCKET = "/_nicegui_ws/socket.io/"


async def echo(request: Request) -> Response:
    body = await request.body()
    return JSONResponse({"size": len(body), "prefix": request.headers.get("x-forwarded-prefix")})


async def cookie(request: Request) -> Response:
    answer = PlainTextResponse("set")
    answer.set_cookie("one", "1", samesite="none", secure=True)
    return answer


class Late(Response):
    """Begins, and reads what was sent after that."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await Request(scope, receive).body()


async def late(request: Request) -> Response:
    return Late()


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("in")
    await websocket.close()


def behind(settings: Settings, access: Access | None = None, **changes: Any) -> TestClient:
    """A client of a guard with a small application behind it, that follows no redirect."""
    methods = ["GET", "POST", "PUT", "DELETE"]
    routes = [
        Route("/cookie", cookie),
        Route("/late", late, methods=["POST"]),
        WebSocketRoute(SOCKET, socket),
        Route("/{path:path}", echo, methods=methods),
    ]
    guard = Guard(Starlette(routes=routes), replace(settings, **changes), access or Open(), public=("/static/",))
    return TestClient(guard, base_url=LOCAL, follow_redirects=False)


@pytest.fixture
def local(settings: Settings) -> TestClient:
    return behind(settings)


@pytest.fixture
def locked(settings: Settings) -> Iterator[TestClient]:
    yield behind(settings, Password(b"k" * 32, SecretStr(PASSWORD)), host="0.0.0.0")


def connects(client: TestClient, **headers: str) -> bool:
    try:
        with client.websocket_connect(f"ws://127.0.0.1:7860{SOCKET}", headers=headers) as one:
            return one.receive_text() == "in"
    except WebSocketDisconnect:
        return False


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "LOCALHOST"])
def test_this_machine_is_served_under_its_own_names(local: TestClient, host: str):
    assert local.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "10.0.0.5", ""])
def test_no_other_name_is_served(local: TestClient, host: str):
    assert local.get("/", headers={"Host": host}).status_code == 421


def test_two_names_at_once_are_none(local: TestClient):
    assert local.get("/", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")]).status_code == 421


def test_other_machines_come_by_number_or_by_our_name(locked: TestClient):
    right = {"Authorization": f"Bearer {PASSWORD}"}
    assert locked.get("/", headers={"Host": "10.0.0.5:7860", **right}).status_code == 200
    assert locked.get("/", headers={"Host": "evil.example", **right}).status_code == 421


def test_a_name_that_a_proxy_serves_it_under_is_said(settings: Settings):
    client = behind(settings, domains=("train.example",))
    assert client.get("/", headers={"Host": "train.example"}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (LOCAL, 200),
        (EVIL, 403),
        ("null", 403),
        ("http://127.0.0.1:9999", 403),
        ("http://127.0.0.1:7860.evil.example", 403),
        ("ftp://127.0.0.1:7860", 403),
    ],
)
def test_a_change_comes_from_our_own_pages(local: TestClient, method: str, origin: str, status: int):
    assert local.request(method, "/api/x", headers={"Origin": origin}).status_code == status


def test_a_program_needs_no_origin_but_a_browsers_cookie_does(local: TestClient):
    assert local.post("/api/x").status_code == 200
    assert local.post("/api/x", headers={"Cookie": "autotrain-tab=1"}).status_code == 403
    assert local.post("/api/x", headers={"Cookie": "autotrain-tab=1", "Origin": LOCAL}).status_code == 200


def test_a_cross_site_change_without_origin_is_refused(local: TestClient):
    assert local.post("/api/x", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize(("destination", "status"), [("document", 200), ("image", 403), ("iframe", 403), ("empty", 403)])
def test_another_site_may_link_here_and_no_more(local: TestClient, destination: str, status: int):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": destination}
    assert local.get("/", headers=headers).status_code == status


@pytest.mark.parametrize(("origin", "comes_in"), [(LOCAL, True), (EVIL, False), ("null", False), ("", False)])
def test_a_websocket_comes_from_our_own_pages(local: TestClient, origin: str, comes_in: bool):
    assert connects(local, **({"Origin": origin} if origin else {})) is comes_in


def test_its_substitute_by_polling_too(local: TestClient):
    address = f"{SOCKET}?transport=polling"
    assert local.get(address, headers={"Origin": EVIL}).status_code == 403
    assert local.get(address).status_code == 403
    assert local.get(address, headers={"Sec-Fetch-Site": "same-origin"}).status_code != 403
    assert local.post(address, headers={"Origin": EVIL}).status_code == 403


def test_a_body_that_says_it_is_too_large_is_refused_unread(local: TestClient):
    assert local.post("/api/x", content=b"x" * BODY_BYTES).json()["size"] == BODY_BYTES
    assert local.post("/api/x", content=b"x" * (BODY_BYTES + 1)).status_code == 413
    assert local.post("/api/x", headers={"Content-Length": "-1"}, content=b"x").status_code == 413


def test_a_body_that_says_nothing_is_cut(local: TestClient):
    def chunks() -> Iterator[bytes]:
        for _ in range(6):
            yield b"x" * 1024**2

    answer = local.post("/api/x", content=chunks())
    assert answer.status_code == 413 and f"{BODY_BYTES:,} bytes" in answer.json()["detail"]


def test_an_answer_that_had_begun_when_the_body_was_cut_is_logged(local: TestClient, capsys: pytest.CaptureFixture[str]):
    log.start_logging()
    parts = (b"x" * 1024**2 for _ in range(6))
    assert local.post("/late", content=parts).content == b"begun"
    said = capsys.readouterr().err
    assert "/late: an answer that had begun was cut off with its sender" in said and "ClientDisconnect" in said
    assert local.post("/api/x", content=(b"x" * 1024**2 for _ in range(6))).status_code == 413
    assert capsys.readouterr().err == ""


def test_uploads_may_be_larger(settings: Settings):
    client = behind(settings, upload_bytes=2 * BODY_BYTES)
    content = b"x" * (BODY_BYTES + 1)
    assert client.post("/api/datasets", content=content).status_code == 200
    assert client.post("/api/runs", content=content).status_code == 413
    assert client.post("/api/datasets", content=b"x" * (2 * BODY_BYTES + 1)).status_code == 413


def test_without_login_a_page_leads_to_it_and_data_is_refused(locked: TestClient):
    page = locked.get("/run/3?tab=log")
    assert (page.status_code, page.headers["Location"]) == (303, "/login?next=%2Frun%2F3%3Ftab%3Dlog")
    data = locked.get("/api/runs")
    assert (data.status_code, data.headers["WWW-Authenticate"]) == (401, "Bearer") and "sign in" in data.json()["detail"]
    assert not connects(locked, Origin=LOCAL)
    assert locked.post("/anything").status_code == 401
    assert locked.get("/_nicegui/client/1/upload").status_code == 401


@pytest.mark.parametrize("path", ["/login", "/api/health", "/static/theme.css", "/favicon.ico"])
def test_what_the_login_needs_is_public(locked: TestClient, path: str):
    assert locked.get(path).status_code == 200


@pytest.mark.parametrize(
    ("said", "status"), [(PASSWORD, 200), ("wrong", 401), ("", 401), (PASSWORD[:-1], 401), (f"{PASSWORD}x", 401)]
)
def test_a_program_brings_the_password(locked: TestClient, said: str, status: int):
    assert locked.get("/api/runs", headers={"Authorization": f"Bearer {said}"}).status_code == status


def test_pages_are_built_at_a_pace(local: TestClient):
    answers = [local.get("/runs").status_code for _ in range(130)]
    assert answers.count(200) == 120 and answers[-1] == 429
    assert local.get("/api/runs").status_code == 200


def test_every_answer_has_the_headers(local: TestClient):
    for answer in (local.get("/"), local.get("/", headers={"Host": EVIL}), local.post("/", headers={"Origin": EVIL})):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "http" not in policy


def test_on_a_space_the_hub_may_frame_it_and_cookies_are_partitioned(settings: Settings):
    client = behind(settings, on_space=True, domains=("nils-page.hf.space",))
    host = {"Host": "nils-page.hf.space"}
    framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
    answer = client.get("/cookie", headers={**host, **framed})
    assert answer.status_code == 200 and answer.headers["Set-Cookie"].endswith("; Secure; Partitioned")
    assert "https://huggingface.co" in answer.headers["Content-Security-Policy"]
    assert client.get("/", headers={"Host": "127.0.0.1"}).status_code == 421
    assert client.post("/api/x", headers={**host, "Origin": "https://nils-page.hf.space"}).status_code == 200
    assert client.post("/api/x", headers={**host, "Origin": "https://huggingface.co"}).status_code == 403


def test_where_we_lie_is_not_for_the_visitor_to_say(local: TestClient):
    assert local.get("/api/x", headers={"X-Forwarded-Prefix": '"><script>'}).json()["prefix"] is None


def test_a_refusal_is_a_sentence(local: TestClient):
    answer = local.post("/", headers={"Origin": EVIL})
    assert json.loads(answer.text) == {"detail": "this request comes from another site, which may not act here"}
