"""`autotrain space create`: what it makes on the hub, and its start command run here, with a browser that signs in."""

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

SPACE, BUCKET = "nils/my-autotrain", "nils/my-autotrain-storage"
SECONDS = 60


@pytest.fixture
def nils(hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> HubDouble:
    """A hub with somebody who is logged in here."""
    hub.add_user("nils", orgs={"acme": "admin"})
    hub.add_user("anna")
    monkeypatch.setenv("HF_TOKEN", "hf_nils")
    return hub


def test_it_makes_a_private_space_with_sign_in_and_storage(nils: HubDouble, capsys: pytest.CaptureFixture[str]):
    assert main(["space", "create", "my-autotrain", "--hardware", "t4-small"]) == 0
    space = nils.spaces[SPACE]
    assert capsys.readouterr().out == f"{nils.url}/spaces/{SPACE}\n"
    assert space.private and (space.hardware, space.stage) == ("t4-small", "BUILDING")
    card = yaml.safe_load(space.files["README.md"].decode().split("---")[1])
    assert (card["sdk"], card["app_port"], card["hf_oauth"]) == ("docker", 7860, True)
    assert {"manage-repos", "jobs"} <= set(card["hf_oauth_scopes"])
    assert nils.buckets[BUCKET]["private"]
    assert space.volumes == [{"type": "bucket", "source": BUCKET, "mountPath": "/data"}]
    assert space.variables == {"AUTOTRAIN_HOME": "/data/autotrain"}


def test_no_token_is_left_there(nils: HubDouble):
    assert main(["space", "create", "my-autotrain"]) == 0
    assert set(nils.spaces[SPACE].secrets) == {"AUTOTRAIN_SESSION_SECRET"} and nils.places_with("hf_nils") == []
    assert len(nils.spaces[SPACE].secrets["AUTOTRAIN_SESSION_SECRET"]) == 64


def test_the_program_runs_where_the_storage_is(nils: HubDouble):
    main(["space", "create", "my-autotrain"])
    lines = nils.spaces[SPACE].files["Dockerfile"].decode().splitlines()
    assert lines[-1] == 'CMD ["autotrain", "app", "--port", "7860", "--host", "0.0.0.0"]'
    assert lines.index("RUN mkdir /data && chown user /data") < lines.index("USER user")
    assert lines.index("WORKDIR /data") > lines.index("COPY --chown=user . .")
    assert any(line.startswith("RUN pip install") and line.endswith("'.[api,tensorboard]'") for line in lines)


def test_without_storage_there_is_no_bucket(nils: HubDouble):
    main(["space", "create", "acme/page", "--no-storage"])
    space = nils.spaces["acme/page"]
    assert nils.buckets == {} and space.volumes == [] and b"/data" not in space.files["Dockerfile"]


def test_a_dry_run_asks_nobody(nils: HubDouble, capsys: pytest.CaptureFixture[str]):
    assert main(["space", "create", "my-autotrain", "--hardware", "l4x1", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "Space USER/my-autotrain: private" in shown and "0.80 USD per hour" in shown and "until it is paused" in shown
    assert nils.requests == []


def test_creating_it_again_brings_it_to_this_version(nils: HubDouble):
    main(["space", "create", "my-autotrain"])
    nils.spaces[SPACE].set_stage("RUNNING")
    assert main(["space", "create", "my-autotrain"]) == 2  # at work
    nils.spaces[SPACE].set_stage("PAUSED")
    nils.add_files("space", SPACE, {"src/autotrain/gone.py": b"x = 1\n"})
    assert main(["space", "create", "my-autotrain"]) == 0
    space = nils.spaces[SPACE]
    assert (space.stage, space.restarts) == ("BUILDING", 1) and "src/autotrain/gone.py" not in space.files


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a/b/c"], "'a/b/c' must be NAME or OWNER/NAME"),
        (["other/page"], "who is not in other"),
        (["page", "--hardware", "t4-smal"], "did you mean t4-small?"),
        (["page", "--hardware", "h200"], "--hardware: no Space's hardware 'h200'"),
    ],
)
def test_what_cant_be_made_is_refused(nils: HubDouble, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]):
    assert main(["space", "create", *arguments]) == 2
    assert said in capsys.readouterr().err and not nils.spaces and not nils.buckets


def test_it_needs_a_token(hub: HubDouble, capsys: pytest.CaptureFixture[str]):
    assert main(["space", "create", "page"]) == 2
    assert "hf auth login" in capsys.readouterr().err


# The very start command of the image, in a folder that holds the Space's files and nothing else.


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
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_TOKEN", "AUTOTRAIN_"))}
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
        assert process.wait(SECONDS) == 0


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """A redirect is looked at, not followed."""


def get(address: str, cookies: str = "") -> tuple[int, Message, str]:
    request = urllib.request.Request(address, headers={"Cookie": cookies} if cookies else {})
    try:
        with urllib.request.build_opener(_Stays).open(request, timeout=SECONDS) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def sent_cookies(headers: Message) -> str:
    return "; ".join(one.partition(";")[0] for one in headers.get_all("Set-Cookie") or ())


def sign_in(page: str) -> tuple[str, str]:
    """As a browser does it.  Returns the address that the hub sends it back to, here, and its cookies."""
    status, headers, _ = get(f"{page}/login/huggingface")
    assert status == 303
    cookies = sent_cookies(headers)
    status, headers, body = get(headers["Location"])
    assert status == 303, body
    back = headers["Location"]
    assert back.startswith("https://nils-my-autotrain.hf.space/auth?")
    return f"{page}/auth?{urlsplit(back).query}", cookies


def test_its_owner_signs_in_and_out(nils: HubDouble, page: str):
    nils.person = "nils"
    assert get(f"{page}/health")[2] == "OK" and "Sign in with Hugging Face" in get(page)[2]
    back, cookies = sign_in(page)
    status, headers, body = get(back, cookies)
    assert status == 303, body
    for cookie in headers.get_all("Set-Cookie") or ():
        if "autotrain-session" in cookie:
            assert "HttpOnly" in cookie and "Secure" in cookie
    session = sent_cookies(headers)
    assert "Signed in as nils" in get(page, session)[2]
    assert "hf_oauth" not in session and "hf_oauth" not in get(page, session)[2]
    assert get(f"{page}/logout", session)[0] == 303 and "Sign in with" in get(page, session)[2]


def test_nobody_else_gets_in(nils: HubDouble, page: str):
    nils.person = "anna"
    back, cookies = sign_in(page)
    status, headers, body = get(back, cookies)
    assert (status, "autotrain-session" in sent_cookies(headers)) == (403, False)
    assert "This Space belongs to nils, and anna isn't one of them." in body


def test_a_sign_in_that_another_browser_began_is_refused(nils: HubDouble, page: str):
    nils.person = "nils"
    back, cookies = sign_in(page)
    assert get(back)[0] == 400  # without the cookie; and now it is spent
    assert get(back, cookies)[0] == 400


def test_who_says_no_to_the_hub_isnt_signed_in(nils: HubDouble, page: str):
    back, cookies = sign_in(page)
    assert parse_qs(urlsplit(back).query)["error"] == ["access_denied"]
    assert get(back, cookies)[0] == 403


def test_a_hub_that_doesnt_answer_is_said_without_its_secrets(nils: HubDouble, page: str):
    nils.person = "nils"
    back, cookies = sign_in(page)
    nils.fail("POST", "/oauth/token", status=500, times=None)
    status, _, body = get(back, cookies)
    assert status == 502 and "try again later" in body and "secret-of" not in body


def test_the_page_is_for_spaces_in_this_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SPACE_ID", raising=False)
    log.start_logging()
    assert main(["app"]) == 2 and "not in this version" in capsys.readouterr().err
    monkeypatch.setenv("SPACE_ID", SPACE)
    start = time.monotonic()
    assert main(["app"]) == 2 and "hf_oauth: true" in capsys.readouterr().err
    assert time.monotonic() - start < SECONDS
