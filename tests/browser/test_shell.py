"""What all pages share: language, theme, keyboard, login, errors, and who is asked for what."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from files_here import files_with
from harness import DESKTOP, PHONE, Server, serving
from hub_double import HubDouble

PASSWORD = "a good password"
# Each page, with nothing in the workspace; with something in it they have tests of their own.
PATHS = ("/", "/new", "/chat", "/compare?ids=1,2", "/run/99", "/settings", "/no-such-page")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_no_serious_fault(visits: Any, shared: Server, path: str, language: str, size: Any, dark: bool):
    visit = visits(shared, language=language, dark=dark, size=size)
    page = visit.open(path)
    assert page.locator("h1").count() == 1 and page.locator("main").count() == 1
    assert visit.faults() == [] and visit.overflow() == 0 and visit.strangers() == []
    assert page.locator("html").get_attribute("data-theme") == ("dark" if dark else "light")
    assert page.locator("html").get_attribute("lang") == {"en": "en-US", "zh": "zh-CN"}[language]


def test_the_language_is_switched_in_the_page_and_kept(visits: Any, shared: Server):
    visit = visits(shared)
    page = visit.open("/settings")
    page.get_by_role("button", name="中文").click()
    page.get_by_role("heading", name="设置", level=1).wait_for()
    visit.open("/settings")
    assert page.title() == "设置 – AutoTrain"
    page.get_by_label("English").check()
    page.get_by_role("heading", name="Settings", level=1).wait_for()


def test_the_theme_is_switched_without_a_reload_and_kept(visits: Any, shared: Server):
    visit = visits(shared)
    page = visit.open("/settings")
    page.evaluate("window.sameDocument = true")
    with page.expect_response("**/api/preferences"):
        page.get_by_role("button", name="Light or dark").click()
    page.locator("html[data-theme=dark] body.body--dark").wait_for()
    assert page.evaluate("window.sameDocument")
    visit.open("/settings")
    assert page.locator("html").get_attribute("data-theme") == "dark" and page.get_by_label("Dark", exact=True).is_checked()
    with page.expect_response("**/api/preferences"):
        page.get_by_label("As the system").check()
    assert page.locator("html").get_attribute("data-theme") == "light"


def test_the_keyboard_reaches_the_content_first_and_everything_after(visits: Any, shared: Server):
    visit = visits(shared)
    page = visit.open("/settings")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.type") == "radio"
    visit.open("/settings")
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", reached
    assert reached == ["Skip to the content", "AutoTrain", "Runs", "New run", "Try it", "Settings", "中文", "◐", ""]


def test_where_one_is_is_marked(visits: Any, shared: Server):
    page = visits(shared).open("/settings")
    assert page.locator("nav [aria-current=page]").inner_text() == "Settings"


def test_the_old_address_leads_to_the_page(visits: Any, shared: Server):
    page = visits(shared).page
    page.goto(f"{shared.address}/ui/")
    assert page.url == f"{shared.address}/"


def test_a_page_that_isnt_there_says_so(visits: Any, shared: Server):
    visit = visits(shared, language="zh")
    page = visit.page
    assert page.goto(f"{shared.address}/nope").status == 404
    assert page.get_by_role("heading", level=1).inner_text() == "没有这个页面"
    page.get_by_role("link", name="返回训练记录").wait_for()


@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/static/..%2f..%2fserve.py", "/..%2f1"])
def test_a_path_that_climbs_out_leads_nowhere(visits: Any, shared: Server, path: str):
    answer = visits(shared).page.request.get(f"{shared.address}{path}")
    assert answer.status == 404 and "root:" not in answer.text() and "import" not in answer.text()[:20]


def test_scripts_of_other_sites_are_kept_out(visits: Any, shared: Server):
    visit = visits(shared)
    page = visit.open("/settings")
    page.evaluate("document.head.append(Object.assign(document.createElement('script'), {src: 'http://evil.invalid/x.js'}))")
    page.wait_for_timeout(200)
    assert any("Content Security Policy" in message for message in visit.errors)


# The login.


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("locked"), "--password", AUTOTRAIN_PASSWORD=PASSWORD) as one:
        yield one


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_login_has_no_serious_fault(visits: Any, locked: Server, language: str, dark: bool):
    visit = visits(locked, language=language, dark=dark, size=PHONE)
    visit.page.goto(f"{locked.address}/settings")
    assert visit.page.url == f"{locked.address}/login?next=%2Fsettings"
    assert visit.faults() == [] and visit.overflow() == 0 and visit.strangers() == []


def test_one_signs_in_and_out(visits: Any, locked: Server):
    visit = visits(locked)
    page = visit.page
    page.goto(f"{locked.address}/settings")
    page.get_by_label("Password").fill("wrong password")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("That is not the password").wait_for()
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/settings")
    visit.alive()
    assert PASSWORD not in page.content() and PASSWORD not in str(page.context.cookies())
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login")
    page.goto(f"{locked.address}/settings")
    assert "/login" in page.url


def test_a_restart_keeps_the_session(visits: Any, tmp_path: Any):
    with serving(tmp_path, "--password") as server:
        token = next(found[1] for line in server.said if (found := re.search(r"the password is (\w{32})", line)))
        visit = visits(server)
        visit.page.goto(server.address)
        visit.page.get_by_label("Password").fill(token)
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_url(f"{server.address}/")
        visit.alive()
        visit.page.evaluate("window.isOld = true")
        server.kill()
        server.start()
        visit.page.wait_for_function("!window.isOld")  # an open page comes again by itself
        visit.alive()
        visit.open("/settings")
        assert visit.page.get_by_role("heading", level=1).inner_text() == "Settings"


def test_another_password_leads_an_open_page_to_the_login(visits: Any, tmp_path: Any):
    with serving(tmp_path, "--password", AUTOTRAIN_PASSWORD=PASSWORD) as server:
        page = visits(server).page
        page.goto(f"{server.address}/settings")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_function("window.socket && window.socket.connected")
        server.stop()
        server.environment["AUTOTRAIN_PASSWORD"] = "another password"
        server.start()
        page.wait_for_url("**/login?next=%2Fsettings")


# The hub's token.


@pytest.fixture
def with_hub(hub: HubDouble, tmp_path: Any) -> Iterator[Server]:
    """A page that knows a hub with the user nils."""
    hub.add_user("nils")
    with serving(tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path / "hf")) as one:
        yield one


def test_a_token_is_checked_used_and_never_shown(visits: Any, with_hub: Server):
    visit = visits(with_hub)
    page = visit.open("/settings")
    page.get_by_text("There is no token yet.").wait_for()
    sent = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    page.get_by_label("Token").fill("hf_wrong")
    page.keyboard.press("Enter")
    page.locator("#token-problem", has_text=re.compile("token", re.IGNORECASE)).wait_for()
    page.get_by_label("Token").fill("hf_nils")
    page.keyboard.press("Enter")
    page.get_by_text("You act on the Hub as nils.").wait_for()
    visit.alive()
    assert "hf_nils" not in page.content() and not any("hf_nils" in frame for frame in sent)
    assert files_with(with_hub.root, b"hf_nils") == [] and not any("hf_nils" in line for line in with_hub.said)
    page.get_by_role("button", name="Forget it").click()
    page.get_by_text("There is no token yet.").wait_for()


def test_two_windows_have_languages_of_their_own(visits: Any, shared: Server):
    english, chinese = visits(shared), visits(shared, language="zh")
    for visit in (english, chinese):
        visit.open("/settings")
    assert english.page.locator("h1").inner_text() == "Settings" and chinese.page.locator("h1").inner_text() == "设置"
