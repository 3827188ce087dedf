"""The page behind others: under a path of a proxy, and inside the hub's own page as a Space."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import SECONDS, launch, serving
from hub_double import HubDouble
from proxy import make_certificate, proxying

from autotrain.cli import main

HOST = "nils-my-autotrain.hf.space"
PARENT = f'<!doctype html><title>hub</title><iframe src="https://{HOST}/settings" width=900 height=700></iframe>'


def test_it_lives_under_a_path_of_a_proxy(visits: Any, tmp_path: Path):
    with serving(tmp_path, "--prefix", "/tuner") as server, proxying(server.port, "/tuner") as port:
        visit = visits(replace(server, port=port, process=None))
        page = visit.open("/tuner/settings")
        own = f"127.0.0.1:{port}/tuner/"
        page.get_by_role("link", name="Settings").click()
        page.wait_for_url(f"http://{own}settings")
        visit.alive()
        page.get_by_role("button", name="中文").click()
        page.get_by_role("heading", name="设置", level=1).wait_for()
        stray = [one for one in visit.requests if not one.startswith((f"http://{own}", f"ws://{own}", "data:"))]
        assert stray == [] and visit.errors == []


@pytest.fixture
def space(hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a page's Space that nils made; the hub's visitor is nils."""
    hub.add_user("nils")
    monkeypatch.setenv("HF_TOKEN", "hf_nils")
    assert main(["space", "create", "my-autotrain"]) == 0
    monkeypatch.delenv("HF_TOKEN")
    hub.person = "nils"
    return hub.spaces["nils/my-autotrain"].environment()


@pytest.fixture
def tls_port(space: dict[str, str], tmp_path: Path) -> Iterator[int]:
    with (
        serving(tmp_path, **{**space, "AUTOTRAIN_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}) as server,
        proxying(server.port, certificate=make_certificate(tmp_path)) as port,
    ):
        yield port


def test_a_space_is_signed_in_to_in_a_tab_and_then_lives_in_the_hubs_frame(playwright: Any, tls_port: int):
    arguments = [
        f"--host-resolver-rules=MAP {HOST}:443 127.0.0.1:{tls_port}",
        "--ignore-certificate-errors",
        "--disable-features=LocalNetworkAccessChecks",  # that name is on the internet, elsewhere
    ]
    with closing(launch(playwright, *arguments)) as browser:
        context = browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.route("https://huggingface.co/**", lambda route: route.fulfill(body=PARENT, content_type="text/html"))
        page.goto("https://huggingface.co/spaces/nils/my-autotrain")
        with context.expect_page() as opened:
            page.frame_locator("iframe").get_by_role("link", name="Sign in with Hugging Face").click()
        tab = opened.value
        tab.wait_for_url(f"https://{HOST}/")
        tab.goto(f"https://{HOST}/settings")
        tab.get_by_text("You are signed in as nils").wait_for()
        tab.wait_for_function("window.socket && window.socket.connected")
        # This browser keeps the tab's cookie from the frame, as strict ones do; it is handed over as a lax one would.
        session = next(one for one in context.cookies() if one["name"] == "autotrain-session")
        context.add_cookies([{**session, "partitionKey": "https://huggingface.co", "_crHasCrossSiteAncestor": True}])
        page.reload()
        framed = page.frame_locator("iframe")
        framed.get_by_text("You are signed in as nils").wait_for()
        framed.get_by_role("button", name="中文").click()
        framed.get_by_role("heading", name="设置", level=1).wait_for()
        frame = next(one for one in page.frames if HOST in one.url)
        frame.wait_for_function("window.socket && window.socket.connected")
