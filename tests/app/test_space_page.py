"""The page on a Space: the very start command of the image, in a folder that holds the Space's files and nothing else."""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from hub_double import HubDouble

from autotrain import log
from autotrain.cli import main

SPACE, HOST = "nils/my-autotrain", "nils-my-autotrain.hf.space"
SECONDS = 60


@pytest.fixture
def nils(hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> HubDouble:
    """A hub with somebody who is logged in here."""
    hub.add_user("nils", orgs={"acme": "admin"})
    hub.add_user("anna")
    monkeypatch.setenv("HF_TOKEN", "hf_nils")
    return hub


@pytest.fixture
def page(nils: HubDouble, tmp_path: Path) -> Iterator[str]:
    """Address of the page."""
    main(["space", "create", "my-autotrain"])
    space, folder = nils.spaces[SPACE], tmp_path / "space"
    nils.checkout("space", SPACE, folder)
    command = yaml.safe_load(space.files["Dockerfile"].decode().splitlines()[-1].removeprefix("CMD "))
    command[command.index("--port") + 1] = "0"  # a free one
    command[command.index("--host") + 1] = "127.0.0.1"
    program = "import sys; sys.path.insert(0, 'src'); from autotrain.cli import main; sys.exit(main(sys.argv[1:]))"
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_TOKEN", "AUTOTRAIN_", "PYTEST"))}
    home = {"AUTOTRAIN_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, *command[1:]],
        cwd=folder,
        env={**clean, **space.environment(), **home},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"serving at (http://127\.0\.0\.1:\d+)", line)
        assert found, line + process.stderr.read()
        yield found[1]
    finally:
        process.terminate()
        assert process.wait(SECONDS) == 0, process.stderr and process.stderr.read()


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A redirect is looked at, not followed."""


def get(address: str, cookies: str = "", **headers: str) -> tuple[int, Message, str]:
    named = {"Cookie": cookies} if cookies else {}
    request = urllib.request.Request(address, headers={**named, **headers})
    try:
        with urllib.request.build_opener(_Stays).open(request, timeout=SECONDS) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def ask(page: str, path: str, cookies: str = "", **headers: str) -> tuple[int, Message, str]:
    """As the hub's proxy passes a request on."""
    return get(f"{page}{path}", cookies, Host=HOST, **headers)


def sent_cookies(headers: Message) -> str:
    return "; ".join(one.partition(";")[0] for one in headers.get_all("Set-Cookie") or ())


def sign_in(page: str) -> tuple[str, str]:
    """As a browser does it.  Returns path and query that the hub sends it back to, and its cookies."""
    status, headers, _ = ask(page, "/login/huggingface")
    assert status == 303
    cookies = sent_cookies(headers)
    status, headers, body = get(headers["Location"])
    assert status == 303, body
    back = headers["Location"]
    assert back.startswith(f"https://{HOST}/auth?")
    return f"/auth?{urlsplit(back).query}", cookies


def test_its_owner_signs_in_and_out(nils: HubDouble, page: str):
    nils.person = "nils"
    assert ask(page, "/health")[0] == 200
    status, headers, _ = ask(page, "/settings")
    assert (status, headers["Location"]) == (303, "/login?next=%2Fsettings")
    assert "Sign in with Hugging Face" in ask(page, "/login")[2]
    back, cookies = sign_in(page)
    status, headers, body = ask(page, back, cookies)
    assert status == 303, body
    for cookie in headers.get_all("Set-Cookie") or ():
        if "autotrain-session" in cookie:
            assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=none"))
    session = sent_cookies(headers)
    status, headers, shown = ask(page, "/settings", session)
    assert status == 200 and "Signed in as nils" in shown
    assert "hf_oauth" not in session and "hf_oauth" not in shown
    assert all("Partitioned" in cookie for cookie in headers.get_all("Set-Cookie") or ())
    assert ask(page, "/logout", session)[0] == 303 and ask(page, "/settings", session)[0] == 303


def test_the_hub_may_show_it_in_a_frame_and_nobody_else(nils: HubDouble, page: str):
    policy = ask(page, "/login")[1]["Content-Security-Policy"]
    assert "frame-ancestors 'self' https://huggingface.co;" in f"{policy};"


def test_another_name_isnt_served(nils: HubDouble, page: str):
    assert get(f"{page}/login")[0] == 421 and get(f"{page}/health")[0] == 200


def test_nobody_else_gets_in(nils: HubDouble, page: str):
    nils.person = "anna"
    back, cookies = sign_in(page)
    status, headers, body = ask(page, back, cookies)
    assert (status, "autotrain-session" in sent_cookies(headers)) == (403, False)
    assert "This Space belongs to nils, and anna isn't one of them." in body


def test_programs_bring_a_token_of_the_hub(nils: HubDouble, page: str):
    assert ask(page, "/api/openapi.json")[0] == 401
    assert ask(page, "/api/openapi.json", Authorization="Bearer hf_anna")[0] == 401
    assert ask(page, "/api/openapi.json", Authorization="Bearer hf_nils")[0] == 200
    asked = len(nils.requests)
    assert ask(page, "/api/openapi.json", Authorization="Bearer hf_nils")[0] == 200
    assert len(nils.requests) == asked  # the hub's answer is remembered


def test_a_sign_in_that_another_browser_began_is_refused(nils: HubDouble, page: str):
    nils.person = "nils"
    back, cookies = sign_in(page)
    assert ask(page, back)[0] == 400  # without the cookie; and now it is spent
    assert ask(page, back, cookies)[0] == 400


def test_who_says_no_to_the_hub_isnt_signed_in(nils: HubDouble, page: str):
    back, cookies = sign_in(page)
    assert parse_qs(urlsplit(back).query)["error"] == ["access_denied"]
    assert ask(page, back, cookies)[0] == 403


def test_a_hub_that_doesnt_answer_is_said_without_its_secrets(nils: HubDouble, page: str):
    nils.person = "nils"
    back, cookies = sign_in(page)
    nils.fail("POST", "/oauth/token", status=500, times=None)
    status, _, body = ask(page, back, cookies)
    assert status == 502 and "try again later" in body and "secret-of" not in body


def test_a_space_without_sign_in_isnt_served(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    log.start_logging()
    monkeypatch.setenv("SPACE_ID", SPACE)
    start = time.monotonic()
    assert main(["app", "--port", "0"]) == 2 and "hf_oauth: true" in capsys.readouterr().err
    assert time.monotonic() - start < SECONDS
