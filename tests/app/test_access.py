"""Who gets in: nobody is asked on this machine, the password is elsewhere."""

import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from autotrain.app import access, pace
from autotrain.app.access import COOKIE, Open, Password, access_of
from autotrain.app.key import page_key
from autotrain.app.settings import Settings
from autotrain.app.state import build_state
from autotrain.errors import ConfigError

PASSWORD = "a good password"
ORIGIN = {"Origin": "http://127.0.0.1:7860"}


@pytest.fixture
def locked(settings: Settings, client_of: Callable[..., TestClient]) -> TestClient:
    """A browser before the login of a page that other machines reach."""
    client = client_of(build_state(replace(settings, host="0.0.0.0", password=SecretStr(PASSWORD))))
    client.follow_redirects = False
    client.headers.update(ORIGIN)
    return client


def test_this_machine_is_open(settings: Settings):
    assert isinstance(access_of(settings), Open)


@pytest.mark.parametrize(
    "changes",
    [
        {"host": "0.0.0.0"},
        {"host": "10.0.0.5"},
        {"host": "::"},
        {"domains": ("train.example",)},  # a proxy lets others in
        {"password": SecretStr(PASSWORD)},
        {"demands_login": True},
    ],
)
def test_a_login_is_demanded_wherever_others_get(settings: Settings, changes: dict[str, object]):
    assert access_of(replace(settings, **changes)).demands_login  # type: ignore[arg-type]


def test_the_token_is_the_same_at_each_start_and_another_in_each_home(settings: Settings, tmp_path: Path):
    away = replace(settings, host="0.0.0.0")
    first, again, other = (access_of(one) for one in (away, away, replace(away, home=tmp_path / "other")))
    assert isinstance(first, Password) and isinstance(again, Password) and isinstance(other, Password)
    assert first.token and first.token == again.token and first.token != other.token
    assert len(first.token.get_secret_value()) == 32


def test_a_password_isnt_shown(settings: Settings):
    found = access_of(replace(settings, password=SecretStr(PASSWORD)))
    assert isinstance(found, Password) and found.token is None


def test_the_key_is_its_owners_alone(tmp_path: Path):
    key = page_key(tmp_path / "home")
    file = tmp_path / "home" / "page-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.read_bytes() == key == page_key(tmp_path / "home")
    file.write_bytes(b"short")
    with pytest.raises(ConfigError, match="isn't a key of 32 bytes"):
        page_key(tmp_path / "home")


def test_a_key_that_another_server_is_about_to_write_is_waited_for(tmp_path: Path):
    """Regression: of two servers that begin at once, one found an empty file and gave up."""
    file = tmp_path / "page-key"
    file.touch()
    writer = threading.Timer(0.3, lambda: file.write_bytes(b"k" * 32))
    writer.start()
    assert page_key(tmp_path) == b"k" * 32
    writer.join()


def test_signing_in_leads_where_one_wanted_to_go(locked: TestClient):
    assert locked.get("/api/openapi.json").status_code == 401
    answer = locked.post("/login?next=%2Frun%2F3", data={"password": PASSWORD})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/run/3")
    said = answer.headers["Set-Cookie"]
    assert "HttpOnly" in said and "SameSite=lax" in said and PASSWORD not in said
    assert locked.get("/api/openapi.json").status_code == 200
    assert locked.get("/login").headers["Location"] == "/"


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
def test_it_leads_nowhere_else(locked: TestClient, elsewhere: str):
    answer = locked.post("/login", params={"next": elsewhere}, data={"password": PASSWORD})
    assert answer.headers["Location"] == "/"


def test_a_wrong_password_is_said(locked: TestClient):
    answer = locked.post("/login", data={"password": "wrong"})
    assert answer.status_code == 401 and "That is not the password" in answer.text and COOKIE not in locked.cookies
    answer = locked.post("/login", data={"password": "wrong"}, headers={"Accept-Language": "zh-CN,zh"})
    assert "密码不正确" in answer.text and 'lang="zh-CN"' in answer.text


def test_after_five_wrong_ones_even_the_right_one_waits(locked: TestClient, monkeypatch: pytest.MonkeyPatch):
    assert [locked.post("/login", data={"password": f"wrong {at}"}).status_code for at in range(5)] == [401] * 5
    assert locked.post("/login", data={"password": PASSWORD}).status_code == 429
    now = pace.time.monotonic()
    monkeypatch.setattr(pace.time, "monotonic", lambda: now + 61)
    assert locked.post("/login", data={"password": PASSWORD}).status_code == 303


def test_a_program_that_guesses_waits_too(locked: TestClient):
    def status(said: str) -> int:
        return locked.get("/api/openapi.json", headers={"Authorization": f"Bearer {said}"}).status_code

    assert [status(f"wrong {at}") for at in range(5)] == [401] * 5
    assert status(PASSWORD) == 401


def test_a_session_is_signed_and_ends(locked: TestClient, monkeypatch: pytest.MonkeyPatch):
    locked.post("/login", data={"password": PASSWORD})
    session = locked.cookies[COOKIE]
    until, nonce, signature = session.split(".")
    for forged in (f"{int(until) + 1}.{nonce}.{signature}", f"{until}.{nonce}.", "", "..", f"x.{nonce}.{signature}"):
        assert locked.get("/api/openapi.json", headers={"Cookie": f"{COOKIE}={forged}"}).status_code == 401
    now = access.time.time()
    monkeypatch.setattr(access.time, "time", lambda: now + access.SESSION_SECONDS + 1)
    assert locked.get("/api/openapi.json").status_code == 401


def test_it_survives_a_restart_but_not_another_password(settings: Settings, client_of: Callable[..., TestClient]):
    def page(password: str) -> TestClient:
        return client_of(build_state(replace(settings, host="0.0.0.0", password=SecretStr(password))))

    first = page(PASSWORD)
    first.post("/login", data={"password": PASSWORD}, headers=ORIGIN, follow_redirects=False)
    cookie = {"Cookie": f"{COOKIE}={first.cookies[COOKIE]}"}
    assert page(PASSWORD).get("/api/openapi.json", headers=cookie).status_code == 200
    assert page("another password").get("/api/openapi.json", headers=cookie).status_code == 401


def test_signing_out_ends_the_session(locked: TestClient):
    locked.post("/login", data={"password": PASSWORD})
    session = locked.cookies[COOKIE]
    assert locked.post("/logout").headers["Location"] == "/login"
    assert locked.get("/api/openapi.json", headers={"Cookie": f"{COOKIE}={session}"}).status_code == 401


def test_who_signed_out_stays_out_after_a_restart_and_the_others_in(
    settings: Settings, client_of: Callable[..., TestClient]
):
    def page() -> TestClient:
        return client_of(build_state(replace(settings, host="0.0.0.0", password=SecretStr(PASSWORD))))

    def signed_in() -> dict[str, str]:
        first.cookies.clear()
        first.post("/login", data={"password": PASSWORD}, headers=ORIGIN, follow_redirects=False)
        return {"Cookie": f"{COOKIE}={first.cookies[COOKIE]}"}

    first = page()
    gone, there = signed_in(), signed_in()
    first.cookies.clear()
    first.post("/logout", headers={**gone, **ORIGIN}, follow_redirects=False)
    again = page()
    assert [again.get("/api/openapi.json", headers=one).status_code for one in (gone, there)] == [401, 200]
    (file,) = settings.home.glob("page-signed-out")
    assert gone["Cookie"].rpartition(".")[2] not in file.read_text()  # without the signature it opens nothing


def test_another_site_cant_sign_anybody_in(locked: TestClient):
    evil = {"Origin": "http://evil.example"}
    assert locked.post("/login", data={"password": PASSWORD}, headers=evil).status_code == 403
