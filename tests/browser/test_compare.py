"""Runs beside each other."""

from typing import Any

import pytest
from harness import PHONE, Server
from made_runs import make_run, step_row


@pytest.fixture
def server(emptied: Server) -> Server:
    return emptied


@pytest.fixture
def three(server: Server) -> None:
    slow = make_run(server, "slow", lr=1e-5)
    make_run(server, "fast", lr=1e-3, epochs=5)
    make_run(server, "live", "training", lr=1e-4)
    slow.answer(40, "Red is a colour.")


@pytest.mark.usefixtures("three")
def test_parameters_that_differ_stand_side_by_side(visit: Any):
    page = visit.open("/compare?ids=1,2")
    table = page.get_by_role("region", name="Settings that differ")
    assert [row.split() for row in table.locator("tbody tr").all_inner_texts()] == [
        ["Learning", "rate", "lr", "1e-05", "0.001"],
        ["Passes", "over", "the", "data", "epochs", "1", "5"],
    ]
    page.get_by_role("switch", name="Show all settings").click()
    page.get_by_role("rowheader", name="Rows at a time batch_size").wait_for()


@pytest.mark.usefixtures("three")
def test_curves_of_all_runs_lie_over_each_other_and_grow(visit: Any, server: Server):
    page = visit.open("/compare?ids=1,2,3")
    names = page.locator("[data-panel=loss] .live-plot-now li")
    names.nth(2).wait_for()
    assert [name.split()[0] for name in names.all_inner_texts()] == ["slow", "fast", "live"]
    with (server.workspace / "live" / "metrics.jsonl").open("a") as file:
        file.write(str(step_row(11, loss=0.7771)).replace("'", '"') + "\n")
    page.locator("[data-panel=loss]").get_by_text("0.7771").wait_for()


@pytest.mark.usefixtures("three")
def test_answers_to_the_same_question_stand_side_by_side(visit: Any):
    page = visit.open("/compare?ids=1,2")
    card = page.get_by_role("article").filter(has_text="What is red?")
    card.get_by_text("Red is a colour.").wait_for()
    card.get_by_text("I don't know.").wait_for()
    card.get_by_text("slow, after step 40").wait_for()


@pytest.mark.usefixtures("three")
def test_the_address_is_all_that_is_needed(visits: Any, server: Server):
    for _ in range(2):
        page = visits(server).open("/compare?ids=2,1")
        page.get_by_role("link", name="fast").wait_for()
    one = visits(server).open("/compare?ids=1,2,3")
    one.get_by_role("link", name="Leave out fast").click()
    one.wait_for_url("**/compare?ids=1,3")


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("ids", ["", "1", "1,99", "x,../y", "1,1"])
def test_too_few_runs_are_told_so(visit: Any, ids: str):
    page = visit.open(f"/compare?ids={ids}")
    page.get_by_text("There must be two to six runs").wait_for()


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_comparison_has_no_serious_fault(visits: Any, server: Server, dark: bool):
    visit = visits(server, dark=dark)
    page = visit.open("/compare?ids=1,2,3")
    page.locator("[data-panel=loss] canvas").wait_for()
    assert visit.faults() == [] and visit.strangers() == [] and visit.errors == []


@pytest.mark.usefixtures("three")
def test_it_fits_a_phone(visits: Any, server: Server):
    visit = visits(server, language="zh", size=PHONE)
    visit.open("/compare?ids=1,2,3").locator("[data-panel=loss] canvas").wait_for()
    assert visit.overflow() == 0 and visit.faults() == []
