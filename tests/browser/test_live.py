"""A run as it goes on: by push, within a second, and right again after whatever breaks in between."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from cable import cable_to
from harness import Server
from made_runs import MadeRun, make_run, step_row

from autotrain.run_folder import write_text

# There is no app for a moment while a page loads itself anew.
POINTS = """(metric) => {
  const page = typeof mounted_app === "undefined" ? null : mounted_app;
  const plot = Object.values(page?.$refs ?? {}).flat().find((one) => one?.whole);
  return plot?.whole[`${plot.runs[0]}:${metric}`] ?? [];
}"""


@pytest.fixture
def server(shared: Server) -> Server:
    return shared


@pytest.fixture
def run(server: Server) -> MadeRun:
    """One that is at step 10 of 40."""
    return make_run(server, "red-river", "training")


def shown_loss(page: Any) -> str:
    return page.locator("[data-panel=loss] .live-plot-now li").first.inner_text()


def wait_for_step(page: Any, step: int) -> None:
    """Until the chart has this step as its last one."""
    page.wait_for_function(f"(step) => ({POINTS})('loss').at(-1)?.[0] === step", arg=step)


def steps_in_chart(page: Any) -> list[int]:
    return [point[0] for point in page.evaluate(POINTS, "loss")]


@contextmanager
def late_answer(page: Any, address: str) -> Generator[None]:
    """The first answer from `address` is made at once, and reaches the page when the block is over."""
    held: list[tuple[Any, Any]] = []

    def hold(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    page.route(address, hold)
    yield
    assert held, f"nothing was asked of {address}"
    route, answer = held[0]
    route.fulfill(response=answer)


def test_a_logged_step_is_in_the_chart_within_a_second(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    wait_for_step(page, 10)
    seconds: list[float] = []
    for step in range(11, 17):
        started = time.monotonic()
        run.log(step_row(step))
        wait_for_step(page, step)
        seconds.append(time.monotonic() - started)
    assert min(seconds) < 1.0, seconds  # others use this machine too
    assert steps_in_chart(page) == list(range(1, 17)) and visit.errors == []
    assert shown_loss(page).split() == ["training", "1.2733"]  # 2 * exp(-16 / 30) + 0.1


def test_state_progress_answers_and_log_follow(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    page.get_by_text("Step 10 of 40").wait_for()
    run.log(*(step_row(step) for step in range(11, 21)))
    run.state("training", 20)
    page.get_by_text("Step 20 of 40").wait_for()
    page.get_by_role("tab", name="Sample answers").click()
    run.answer(20, "Red is a colour of roses.")
    page.get_by_text("Red is a colour of roses.").wait_for()
    page.get_by_role("tab", name="Log").click()
    run.say("the last word")
    page.get_by_text("the last word").wait_for()
    run.state("finished", 40)
    page.get_by_text("Finished", exact=True).wait_for()
    assert page.get_by_role("button", name="Stop", exact=True).count() == 0


def test_a_validation_gets_its_curve_when_it_comes(visit: Any, server: Server):
    run = make_run(server, "no-validation", "training")
    write_text(run.folder / "metrics.jsonl", "")
    run.log(*(step_row(step) for step in range(1, 6)))
    page = visit.open(f"/run/{run.number}")
    wait_for_step(page, 5)
    assert "validation" not in page.locator("[data-panel=loss] .live-plot-now").inner_text()
    run.log({"step": 5, "eval_loss": 1.25})
    page.locator("[data-panel=loss] .live-plot-now").get_by_text("1.25").wait_for()


def test_a_metric_that_comes_while_the_history_is_on_its_way_gets_its_curve(visit: Any, server: Server):
    """Regression: the history had been asked for without it, and a run that has ended logs nothing more."""
    run = make_run(server, "own-metric")
    run.log({"step": 40, "own_metric": 0.5})
    with late_answer(visit.page, "**/metrics?*"):
        page = visit.open(f"/run/{run.number}")
        page.wait_for_timeout(2000)  # the page hears of its metrics
    page.locator("[data-panel=own_metric] .live-plot-now").get_by_text("0.5").wait_for()


def test_lines_that_come_while_those_before_are_on_their_way_are_shown(visit: Any, run: MadeRun):
    """Regression: the last lines of a run weren't there until the page was loaded anew."""
    with late_answer(visit.page, "**/log?first=200*"):
        page = visit.open(f"/run/{run.number}?tab=log")
        page.wait_for_timeout(1500)  # its lines are asked for
        run.say("the last word")
        page.wait_for_timeout(1500)  # the page hears of it
    page.get_by_text("the last word").wait_for()


def test_a_reload_shows_the_same(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    page.get_by_role("tab", name="Log").click()
    page.get_by_text("line 299 of the log").wait_for()
    page.reload()
    visit.alive()
    page.get_by_text("line 299 of the log").wait_for()
    page.get_by_role("tab", name="Charts").click()
    wait_for_step(page, 10)
    run.log(step_row(11))
    wait_for_step(page, 11)
    assert steps_in_chart(page) == list(range(1, 12))


def test_a_lost_connection_loses_nothing(visits: Any, server: Server, run: MadeRun):
    with cable_to(server.port) as cable:
        page = visits(server).page
        page.goto(f"{cable.address}/run/{run.number}")
        wait_for_step(page, 10)
        page.evaluate("window.same_page = true")
        cable.cut()
        page.wait_for_function("!window.socket.connected")
        for step in range(11, 31):
            run.log(step_row(step))
            time.sleep(0.2)
        cable.mend()
        wait_for_step(page, 30)
        run.log(step_row(31))
        wait_for_step(page, 31)
        assert page.evaluate("window.same_page"), "it was loaded anew"
        assert steps_in_chart(page) == list(range(1, 32))


def test_a_restarted_server_goes_on_with_the_run(visit: Any, server: Server, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    wait_for_step(page, 10)
    server.kill()
    run.log(*(step_row(step) for step in range(11, 21)))
    server.start()
    wait_for_step(page, 20)
    run.log(step_row(21))
    wait_for_step(page, 21)
    assert steps_in_chart(page) == list(range(1, 22))


def test_two_tabs_see_the_same(visits: Any, server: Server, run: MadeRun):
    pages = [visits(server).open(f"/run/{run.number}") for _ in range(2)]
    for page in pages:
        wait_for_step(page, 10)
    run.log(step_row(11))
    for page in pages:
        wait_for_step(page, 11)
    for page in pages:
        assert steps_in_chart(page) == list(range(1, 12))


def test_a_resumed_run_draws_only_what_still_holds(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    wait_for_step(page, 10)
    rows = (run.folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    write_text(run.folder / "metrics.jsonl", "".join(rows[:6]))  # back to the checkpoint at step 5
    wait_for_step(page, 5)
    run.log(step_row(6, loss=9.5))
    wait_for_step(page, 6)
    assert page.evaluate(POINTS, "loss")[-1] == [6, 9.5]
    assert steps_in_chart(page) == [1, 2, 3, 4, 5, 6]


def test_a_tab_that_was_behind_another_catches_up(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}?tab=charts")
    wait_for_step(page, 10)
    page.get_by_role("tab", name="Settings").click()
    page.get_by_text("base_model").wait_for()
    run.log(*(step_row(step) for step in range(11, 16)))
    page.wait_for_timeout(1000)
    page.get_by_role("tab", name="Charts").click()
    wait_for_step(page, 15)
    assert steps_in_chart(page) == list(range(1, 16))


def test_the_list_follows_too(visit: Any, run: MadeRun):
    page = visit.open("/runs")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=run.folder.name, exact=True))
    row.get_by_text("Step 10 of 40").wait_for()
    run.log(step_row(11, loss=0.4321))
    run.state("training", 11)
    row.get_by_text("Step 11 of 40").wait_for()
    row.get_by_text("0.4321").wait_for()


def test_a_run_that_is_taken_out_elsewhere_is_said_to_be_gone(visits: Any, server: Server):
    run = make_run(server, "old-river")
    page = visits(server).open(f"/run/{run.number}")
    other = visits(server).open("/runs")
    other.get_by_role("button", name=f"Delete run {run.number}").click()
    other.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("It was taken out of the list").wait_for()
    assert json.loads((run.folder / "state.json").read_text())["stage"] == "finished"  # the model stays
