"""Settings, comparison, and what comes after training, with the keyboard alone; the other pages' tests have their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_runs
import pytest
import results_of
from harness import Server, serving
from hub_double import HubDouble
from keyboard import tab_to, tab_to_name, walk

HEADER = ["Skip to the content", "AutoTrain", "Runs", "New run", "Try it", "Settings", "中文", "Light or dark"]


@pytest.fixture
def server(hub: HubDouble, tmp_path: Path) -> Iterator[Server]:
    """A page that knows a hub with the user nils."""
    hub.add_user("nils")
    with serving(tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path / "hf")) as one:
        yield one


def test_settings(visit: Any):
    page = visit.open("/settings")
    assert walk(page) == [*HEADER, "English", "As the system", "Token", "Use it", "For programmers: the API"]
    tab_to(page, "input[name='settings.theme']")
    for theme in ("light", "dark"):
        page.keyboard.press("ArrowDown")
        page.locator(f"html[data-theme={theme}]").wait_for()
    tab_to(page, "#token")
    page.keyboard.type("hf_nils")
    page.keyboard.press("Enter")
    page.get_by_text("You act on the Hub as nils.").wait_for()
    visit.alive()
    assert walk(page)[-3:] == ["Use it", "Forget it", "For programmers: the API"]
    tab_to_name(page, "Forget it")
    page.keyboard.press("Space")
    page.get_by_text("There is no token yet.").wait_for()
    visit.alive()
    tab_to(page, "input[name='settings.language']")
    page.keyboard.press("ArrowDown")
    page.get_by_role("heading", name="设置", level=1).wait_for()
    visit.alive()
    tab_to_name(page, "English")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Settings", level=1).wait_for()
    visit.alive()
    tab_to_name(page, "For programmers: the API")
    page.keyboard.press("Enter")
    page.wait_for_url("**/api/docs")


def test_a_comparison(visit: Any, server: Server):
    for name, rate in (("slow", 1e-5), ("fast", 1e-3), ("third", 1e-4)):
        made_runs.make_run(server, name, lr=rate)
    page = visit.open("/compare?ids=1,2,3")
    page.locator("[data-panel=loss] canvas").wait_for()
    names = walk(page)
    assert names[: len(HEADER)] == HEADER
    assert {"slow", "Leave out slow", "Show all settings", "Zoom in", "Smooth the curves"} <= set(names), names
    tab_to(page, "[role=switch]")
    page.keyboard.press("Space")
    page.get_by_role("rowheader", name="Rows at a time batch_size").wait_for()
    tab_to_name(page, "Zoom in")
    page.keyboard.press("Enter")
    page.get_by_text("steps 10 – 30").first.wait_for()
    tab_to_name(page, "Whole run")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.live-plot-range').innerText === ''")
    tab_to_name(page, "Smooth the curves")
    page.keyboard.press("ArrowRight")
    assert page.get_by_label("Smooth the curves").get_attribute("aria-valuetext") != "0 %"
    tab_to(page, "[data-canvas=loss]")
    page.keyboard.press("End")
    page.get_by_text("step 40").first.wait_for(state="attached")
    page.reload()
    visit.alive()
    tab_to_name(page, "Leave out fast")
    page.keyboard.press("Enter")
    page.wait_for_url("**/compare?ids=1,3")


def test_merging_downloading_and_publishing(visit: Any, server: Server, tiny_model: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOTRAIN_HOME", str(server.home))
        number = results_of.make_run(server.workspace, "my-run", tiny_model)
    page = visit.open("/settings")
    tab_to(page, "#token")
    page.keyboard.type("hf_nils")
    page.keyboard.press("Enter")
    page.get_by_text("You act on the Hub as nils.").wait_for()
    page = visit.open(f"/run/{number}/after")
    names = walk(page)
    assert names[: len(HEADER)] == HEADER
    assert [name.partition(",")[0] for name in names[len(HEADER) :]] == [
        *("Back to the run", "Talk with the model", "Download as ZIP", "9 files", "Merge into one model"),
        *("Name of the repository", "Everyone may see it", "Push to the Hub", "Show as text"),
    ]
    tab_to_name(page, "Merge into one model")
    page.keyboard.press("Enter")
    question = page.get_by_role("alertdialog")
    question.wait_for()
    page.wait_for_function("document.activeElement.innerText === 'Back'")
    for _ in range(4):  # to nothing behind the dialog; between its end and beginning is the browser
        page.keyboard.press("Tab")
        page.wait_for_function("document.activeElement.matches('body, [role=alertdialog] *, [role=alertdialog]')")
    page.keyboard.press("Escape")
    question.wait_for(state="hidden")
    page.wait_for_function("document.activeElement.innerText === 'Merge into one model'")
    page.keyboard.press("Space")
    page.wait_for_function("document.activeElement.innerText === 'Back'")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Merging …").wait_for()
    page.reload()  # it goes on without the page
    visit.alive()
    page.get_by_role("heading", name="The model is merged.").wait_for()
    page.get_by_text("The model is whole").wait_for()
    assert page.get_by_role("button", name="Merge into one model").count() == 0
    assert (server.workspace / "my-run" / "adapter" / "adapter_config.json").is_file()
    visit.alive()
    tab_to(page, "a[download]")
    with page.expect_download() as found:
        page.keyboard.press("Enter")
    assert found.value.suggested_filename == "my-run.zip"
    for _ in range(page.locator("summary:visible").count()):
        tab_to(page, "summary")
        page.keyboard.press("Enter")
        page.wait_for_function("document.activeElement.parentElement.open")
        page.keyboard.press("Tab")
    page.evaluate("document.activeElement.blur(); document.querySelector('main').focus()")
    tab_to_name(page, "Name of the repository")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("mine")
    tab_to(page, "[role=checkbox]")
    page.keyboard.press("Space")
    page.locator("[role=checkbox][aria-checked=true]").wait_for()
    tab_to_name(page, "Push to the Hub")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="/nils/mine").wait_for()
    tab_to_name(page, "Talk with the model")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/chat?run={number}")
