"""The list of runs: found, noted, deleted, picked; by mouse, by keyboard, on a phone."""

from typing import Any

import pytest
from harness import PHONE, Server
from made_runs import make_run


@pytest.fixture
def server(emptied: Server) -> Server:
    return emptied


@pytest.fixture
def names(server: Server) -> list[str]:
    """Three runs that differ in everything; the latest is the first in the list."""
    make_run(server, "cooking-helper", lr=1e-4)
    make_run(server, "rude-answers", "failed", message="out of memory, even with one row at a time", trainer="dpo")
    make_run(server, "poems", "interrupted", message="interrupted at step 40")
    return ["poems", "rude-answers", "cooking-helper"]


def shown(page: Any) -> list[str]:
    return page.locator("td a.at-runs-name").all_inner_texts()


def wait_for_names(page: Any, names: list[str]) -> None:
    said = "[...document.querySelectorAll('td a.at-runs-name')].map((one) => one.innerText)"
    page.wait_for_function(f"(names) => JSON.stringify({said}) === JSON.stringify(names)", arg=names)


def test_nobody_has_run_anything_yet(visit: Any):
    page = visit.open("/")
    page.get_by_role("heading", name="No runs yet").wait_for()
    page.get_by_role("button", name="Start your first run").click()
    page.wait_for_url("**/new")


def test_search_finds_names_methods_and_notes(visit: Any, names: list[str]):
    page = visit.open("/runs")
    wait_for_names(page, names)
    page.get_by_label("Search").fill("dpo")
    wait_for_names(page, ["rude-answers"])
    page.get_by_label("Search").fill("no such thing")
    page.get_by_role("heading", name="No run is like that").wait_for()
    page.get_by_role("button", name="Show all runs").click()
    wait_for_names(page, names)


def test_what_is_looked_for_stays_after_a_reload(visit: Any, names: list[str]):
    page = visit.open("/runs")
    page.get_by_label("Search").fill("o")
    page.get_by_label("Show", exact=True).click()
    page.get_by_role("option", name="Failed").click()
    wait_for_names(page, ["rude-answers"])
    page.reload()
    visit.alive()
    wait_for_names(page, ["rude-answers"])
    assert page.get_by_label("Search").input_value() == "o"


def test_a_note_is_kept_and_found(visit: Any, names: list[str]):
    page = visit.open("/runs")
    page.get_by_role("button", name="Note on run 1").click()
    page.get_by_label("Your own words").fill("best so far <b>really</b>")
    page.get_by_role("button", name="Save").click()
    page.get_by_text("best so far <b>really</b>").wait_for()
    page.get_by_label("Search").fill("best")
    wait_for_names(page, ["cooking-helper"])


def test_deleting_asks_and_keeps_the_model_unless_ticked(visit: Any, server: Server, names: list[str]):
    page = visit.open("/runs")
    page.get_by_role("button", name="Delete run 1").click()
    page.get_by_role("heading", name="Delete cooking-helper?").wait_for()
    page.get_by_role("button", name="Back").click()
    page.get_by_role("heading", name="Delete cooking-helper?").wait_for(state="hidden")
    assert shown(page) == names
    page.get_by_role("button", name="Delete run 1").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    wait_for_names(page, names[:2])
    assert (server.workspace / "cooking-helper" / "state.json").is_file()
    page.get_by_role("button", name="Delete run 2").click()
    page.get_by_role("checkbox", name="Delete the model and all files").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    wait_for_names(page, names[:1])
    assert not (server.workspace / "rude-answers").exists()


def test_a_run_that_trains_can_t_be_deleted(visit: Any, server: Server):
    make_run(server, "busy", "training")
    page = visit.open("/runs")
    assert page.get_by_role("button", name="Delete run 1").is_disabled()


def test_two_runs_are_picked_and_compared(visit: Any, names: list[str]):
    page = visit.open("/runs")
    compare = page.get_by_role("button", name="Compare")
    assert compare.is_disabled()
    page.get_by_role("checkbox", name="Pick run 1 ").click()
    page.get_by_role("checkbox", name="Pick run 3 ").click()
    page.get_by_role("button", name="Compare (2)").click()
    page.wait_for_url("**/compare?ids=1,3")
    page.get_by_role("heading", name="Compare runs").wait_for()


def test_forty_runs_are_shown_in_pages(visit: Any, server: Server):
    for number in range(40):
        make_run(server, f"run-{number:02}")
    page = visit.open("/runs")
    page.get_by_text("1 to 25 of 40").wait_for()
    assert shown(page)[0] == "run-39" and len(shown(page)) == 25
    page.get_by_role("button", name="Next").click()
    page.get_by_text("26 to 40 of 40").wait_for()
    assert shown(page)[-1] == "run-00"
    page.reload()
    visit.alive()
    page.get_by_text("26 to 40 of 40").wait_for()


def test_a_note_is_written_with_the_keyboard_alone(visit: Any, names: list[str]):
    page = visit.open("/runs")
    wait_for_names(page, names)
    page.get_by_label("Search").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Note on run 3":
            break
    page.keyboard.press("Enter")
    page.get_by_label("Your own words").wait_for()
    page.wait_for_function("document.activeElement.tagName === 'TEXTAREA'")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("by keyboard").wait_for()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_list_has_no_serious_fault(visits: Any, server: Server, names: list[str], dark: bool):
    make_run(server, "busy", "training")
    visit = visits(server, dark=dark)
    page = visit.open("/runs")
    wait_for_names(page, ["busy", *names])
    assert visit.faults() == []
    page.get_by_role("button", name="Delete run 1").click()
    page.get_by_role("heading", name="Delete cooking-helper?").wait_for()
    page.wait_for_timeout(500)
    # axe takes what lies behind the shade for the ground of the buttons, so it can't judge their contrast.
    assert [fault for fault in visit.faults() if not fault.startswith("color-contrast")] == []
    assert visit.strangers() == [] and visit.errors == []


def test_on_a_phone_in_chinese_each_run_is_a_card(visits: Any, server: Server, names: list[str]):
    visit = visits(server, language="zh", size=PHONE)
    page = visit.open("/runs")
    wait_for_names(page, names)
    assert visit.overflow() == 0 and visit.faults() == []
    page.get_by_text("失败").wait_for()
    rows = page.locator("tbody tr").all()
    assert rows[0].bounding_box()["height"] > 100  # its cells stand below each other
