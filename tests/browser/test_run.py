"""The page of a run: charts, answers, log, left-out rows, settings, and what can be done."""

import os
from typing import Any
from unittest.mock import patch

import pytest
from harness import PHONE, Server
from made_runs import MadeRun, leave_out, make_run

from autotrain.runs.waiting import enqueue
from autotrain.trainers.clm.params import LLMTrainingParams

FAILED = "step 41: the loss is nan, its gradient's norm nan; training can't go on. Lower lr"


@pytest.fixture
def server(shared: Server) -> Server:
    return shared


@pytest.fixture
def run(server: Server) -> MadeRun:
    """One that has finished."""
    return make_run(server, "red-river")


def zoomed(page: Any) -> str:
    return page.locator(".live-plot-range").inner_text()


def test_dragging_over_a_chart_zooms_and_a_double_click_shows_all(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    chart = page.locator("[data-canvas=loss]")
    chart.locator("canvas").wait_for()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 100, steps=4)
    page.mouse.up()
    first, last = (int(word) for word in zoomed(page).split() if word.isdigit())
    assert 18 <= first <= 21 and 28 <= last <= 32
    page.reload()
    visit.alive()
    page.get_by_text(f"steps {first} – {last}").wait_for()
    page.locator("[data-canvas=loss] canvas").dblclick()
    page.get_by_role("button", name="Whole run").is_disabled()
    assert zoomed(page) == ""


def test_charts_are_zoomed_smoothed_and_read_with_the_keyboard(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    page.locator("[data-canvas=loss] canvas").wait_for()
    page.get_by_role("button", name="Zoom in").press("Enter")
    page.get_by_text("steps 10 – 30").wait_for()
    page.get_by_role("button", name="Whole run").press("Enter")
    smooth = page.get_by_label("Smooth the curves")
    smooth.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert smooth.get_attribute("aria-valuetext") == "20 %"
    chart = page.locator("[data-canvas=loss]")
    assert "training: now 0.62719" in chart.get_attribute("aria-label")
    chart.focus()
    page.keyboard.press("End")
    page.get_by_text("step 40: 0.62719").wait_for(state="attached")


def test_the_log_is_searched(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}?tab=log")
    page.get_by_text("line 299 of the log").wait_for()
    search = page.get_by_label("Search in the log")
    search.fill("FLOAT32")
    search.press("Enter")
    page.get_by_text("Line 151; found 1 times").wait_for()
    assert page.locator(".log-view mark").inner_text() == "float32"
    search.fill("line 29")
    search.press("Enter")
    page.get_by_text("Line 30; found 11 times").wait_for()
    page.get_by_role("button", name="Previous").click()
    page.get_by_text("Line 300; found 11 times").wait_for()
    search.fill("nothing like it")
    search.press("Enter")
    page.get_by_text("Not found").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_text() == (run.folder / "train.log").read_text()


def test_answers_are_followed_over_the_run(visit: Any, run: MadeRun):
    for step in (20, 40):
        run.answer(step, f"Answer of step {step}.")
    page = visit.open(f"/run/{run.number}?tab=samples")
    page.get_by_text("Answer of step 40.").wait_for()
    page.get_by_text("A colour.").first.wait_for()
    page.get_by_text("I don't know.").wait_for()
    page.get_by_role("button", name="Earlier answers").click()
    page.get_by_text("Answer of step 20.").wait_for()
    page.get_by_text("After step 20 (2 of 3)").wait_for()


def test_rows_left_out_are_counted_and_listed_in_pages(visit: Any, run: MadeRun):
    leave_out(run, 30)
    page = visit.open(f"/run/{run.number}?tab=left_out")
    page.get_by_text("70 of 100 rows are used.").wait_for()
    page.get_by_text("30 × empty").wait_for()
    page.get_by_text("train.jsonl, line 25").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("train.jsonl, line 30").wait_for()
    page.get_by_text("26 to 30 of 30").wait_for()


def test_the_settings_are_those_of_the_run(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}?tab=settings")
    page.get_by_text("base_model: smollm2-135m").wait_for()
    page.get_by_text("autotrain llm --train").first.wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as config.yaml").click()
    assert "project_name: red-river" in download.value.path().read_text()


def test_a_failed_run_says_why_and_what_to_do(visit: Any, server: Server):
    run = make_run(server, "too-hot", "failed", message=FAILED)
    page = visit.open(f"/run/{run.number}")
    alert = page.get_by_role("alert").filter(has_text="The training went off the rails")
    assert "lower learning rate" in alert.inner_text()
    alert.get_by_text("word for word").click()
    alert.get_by_text(FAILED).wait_for()
    page.get_by_role("button", name="Run again with changes").click()
    page.wait_for_url(f"**/new?from={run.number}")


def test_notes_are_kept(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    page.get_by_label("Notes").fill("A good one.")
    page.get_by_label("Notes").blur()
    page.get_by_text("Saved").wait_for()
    page.reload()
    visit.alive()
    assert page.get_by_label("Notes").input_value() == "A good one."


def test_a_note_that_is_being_written_outlives_the_server(visit: Any, run: MadeRun, server: Server):
    page = visit.open(f"/run/{run.number}")
    page.get_by_label("Notes").press_sequentially("half a thought")
    for _ in range(300):  # half of it may be kept first
        if page.request.get(f"{server.address}/api/runs/{run.number}").json()["notes"] == "half a thought":
            break
        page.wait_for_timeout(100)
    page.evaluate("window.isOld = true")
    server.kill()
    server.start()
    shown = "document.querySelector('.at-run-notes textarea')?.value === 'half a thought'"
    page.wait_for_function(f"!window.isOld && {shown}")


def test_only_a_run_with_a_model_can_be_tried(visits: Any, server: Server):
    """One that was stopped on its way has checkpoints, and nothing to talk with."""
    run = make_run(server, "half", "interrupted")
    resume, try_it = "[data-action=resume]", "[data-action=try]"
    page = visits(server).open(f"/run/{run.number}")
    page.locator(resume).wait_for()
    assert not page.locator(try_it).is_visible()
    (run.folder / "adapter_config.json").write_text("{}")
    page.reload()
    page.locator(try_it).wait_for()


def test_what_the_data_hold_is_text_and_never_a_script(visits: Any, server: Server):
    run = make_run(server, "hostile")
    run.answer(40, "<img src=x onerror=window.hacked=1>", "<script>window.hacked=1</script>")
    run.say("<img src=x onerror=window.hacked=1>")
    for tab in ("samples", "log"):
        page = visits(server).open(f"/run/{run.number}?tab={tab}")
        page.get_by_text("<img src=x onerror=window.hacked=1>").first.wait_for()
        assert page.evaluate("window.hacked") is None


def test_a_waiting_run_says_its_place_and_is_taken_out_of_the_queue(visit: Any, server: Server):
    make_run(server, "busy", "training")  # the machine takes one at a time
    params = LLMTrainingParams(model="smollm2-135m", project_name="later", trainer="sft", data_path="data")
    with patch.dict(os.environ, {"AUTOTRAIN_HOME": str(server.home)}):
        number = enqueue("later", server.workspace / "later", "local-ui", params.to_json())
    page = visit.open(f"/run/{number}")
    page.get_by_text("In the queue, number 1.").wait_for()
    page.get_by_role("button", name="Take out of the queue").click()
    page.get_by_role("heading", name="It was taken out of the queue").wait_for()
    page.get_by_role("button", name="Delete").wait_for()


def test_a_run_is_deleted_with_the_keyboard_alone(visit: Any, run: MadeRun):
    page = visit.open(f"/run/{run.number}")
    page.get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    question = page.get_by_role("alertdialog", name="Delete this run?")
    question.wait_for()
    page.wait_for_function("document.activeElement.innerText === 'Back'")
    page.keyboard.press("Escape")
    question.wait_for(state="hidden")
    page.get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.innerText === 'Back'")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs")
    assert (run.folder / "state.json").is_file()


@pytest.mark.parametrize("number", ["99", "x", "1%2F..", "-1"])
def test_a_run_that_is_not_there_is_told_so(visit: Any, number: str):
    page = visit.open(f"/run/{number}")
    page.get_by_role("heading", level=1).wait_for()
    assert "Traceback" not in page.content()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_tab_has_a_serious_fault(visits: Any, server: Server, dark: bool):
    run = make_run(server, "too-hot", "failed", message=FAILED)
    run.answer(40, "Red.")
    leave_out(run, 3)
    visit = visits(server, dark=dark)
    for tab in ("charts", "samples", "log", "left_out", "settings"):
        page = visit.open(f"/run/{run.number}?tab={tab}")
        page.wait_for_timeout(1000)
        assert visit.faults() == [], tab
    assert visit.strangers() == [] and visit.errors == []


def test_it_fits_a_phone_in_chinese(visits: Any, server: Server, run: MadeRun):
    run.answer(40, "Red.")
    leave_out(run, 3)
    (run.folder / "adapter_config.json").write_text("{}")
    visit = visits(server, language="zh", size=PHONE)
    for tab in ("charts", "samples", "log", "left_out", "settings"):
        page = visit.open(f"/run/{run.number}?tab={tab}")
        page.wait_for_timeout(500)
        assert visit.overflow() == 0, tab
    page.get_by_role("button", name="试用").wait_for()
    assert visit.faults() == []
