"""Trying models in the page: beside their base, by keyboard, over reloads, in two tabs, on a phone, in both languages."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from harness import PHONE, Server, serving
from results_of import make_run

from autotrain.runs.processes import find_process

AFTER, BEFORE = "After training", "Before training"
SCRIPT = "<script>window.hit=1</script><img src=x onerror='window.hit=1'> **bold** 你好 😀"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests here: to start it, and to load models, takes longer than most of them."""
    with serving(tmp_path_factory.mktemp("page"), OMP_NUM_THREADS="1") as one:
        yield one


@pytest.fixture(scope="module")
def numbers(server: Server, tiny_model: Path) -> dict[str, int]:
    """Runs that have ended, each of another kind, and one that goes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOTRAIN_HOME", str(server.home))
        found = {
            kind: make_run(server.workspace, f"a-{kind}", tiny_model, kind=kind) for kind in ("adapter", "whole", "reward")
        }
        found["training"] = make_run(server.workspace, "a-training", tiny_model, stage="training")
    return found


def settle(page: Any, **settings: str) -> None:
    """Open the settings and fill them in."""
    page.locator("summary", has_text="How it answers").click()
    for label, value in settings.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(value)
        page.get_by_label(label.replace("_", " "), exact=True).press("Tab")
    page.wait_for_timeout(600)  # until what was typed has arrived
    page.locator("summary", has_text="How it answers").click()


def answers(page: Any, who: str) -> Any:
    return page.locator("article", has=page.get_by_role("heading", name=who)).locator(".at-chat-text")


def done(page: Any, count: int = 1) -> None:
    """Until the last question has its answers."""
    page.get_by_role("button", name="Send").wait_for()
    assert page.locator(".at-chat-turn").count() == count


def begin_again(page: Any) -> None:
    page.locator(".at-chat-turn").evaluate("(turn) => { turn.dataset.isOld = 'yes'; }")
    page.get_by_role("button", name="Ask again").click()


def ask_again(page: Any) -> None:
    """Until there is another answer; a model as small as ours may have given it before a "Stop" is to be seen."""
    begin_again(page)
    page.locator(".at-chat-turn:not([data-is-old])").wait_for()
    done(page)


def models_of(server: Server) -> list[int]:
    """The server's processes that hold models.  (`ps` cuts its lines off at $COLUMNS.)"""
    assert server.process is not None
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            parent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == server.process.pid and b"\0generate\0talk\0" in folder.joinpath("cmdline").read_bytes():
                found.append(int(folder.name))
    assert found, "no model is held"
    return found


@contextmanager
def held(server: Server) -> Iterator[None]:
    """Models that stand still in mid-answer: ours would be done sooner than a page is there again."""
    models = models_of(server)
    for process in models:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in models:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@contextmanager
def held_in_mid_answer(page: Any, server: Server, text: str) -> Iterator[None]:
    """Asked, and held while they answer.  On a busy machine they may have said all by then: they are asked again."""
    settle(page, Temperature="1.2", Longest_answer="450")
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Send").click()
    for _ in range(5):
        page.wait_for_function(
            "document.querySelector('.at-chat-turn:not([data-is-old]) .at-chat-text')?.innerText.length > 5"
        )
        with held(server):
            page.wait_for_timeout(1000)  # until what they had said is shown
            if page.get_by_role("button", name="Stop").is_visible():
                yield
                return
        done(page)
        begin_again(page)
    pytest.fail("no answer was caught while it was being written")


def test_both_models_answer_side_by_side_by_keyboard_and_a_reload_keeps_it(visit: Any, numbers: dict[str, int]) -> None:
    page = visit.open("/chat")
    page.get_by_role("link", name="a-adapter").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Try “a-adapter”").wait_for()
    visit.alive()
    settle(page, Temperature="1.2", Longest_answer="24")
    page.get_by_label("Your message").focus()
    page.keyboard.type(SCRIPT)
    page.keyboard.press("Enter")
    page.locator(".at-chat-turn").wait_for()
    done(page)
    tuned, base = answers(page, AFTER).inner_text(), answers(page, BEFORE).inner_text()
    assert tuned and base and tuned != base
    assert page.get_by_label("Your message").input_value() == ""
    assert page.locator(".at-chat-question").inner_text() == SCRIPT
    assert page.evaluate("window.hit") is None
    assert visit.faults() == []
    page.get_by_role("button", name="Copy the answer: After training").click()
    page.get_by_text("Copied").wait_for()
    for _ in range(20):  # until the server has heard of it
        page.get_by_label("Your message").fill("not sent yet")
        page.wait_for_timeout(500)
        page.reload()
        visit.alive()
        if page.get_by_label("Your message").input_value():
            break
    assert answers(page, AFTER).inner_text() == tuned
    assert page.get_by_label("Your message").input_value() == "not sent yet"
    ask_again(page)
    assert answers(page, AFTER).inner_text() == tuned  # the same seed
    page.get_by_role("button", name="Begin anew").click()
    page.locator(".at-chat-turn").wait_for(state="detached")
    assert visit.strangers() == [] and visit.errors == []


def test_a_reload_in_mid_answer_finds_the_answer_going_on_and_stop_ends_it(
    visit: Any, server: Server, numbers: dict[str, int]
) -> None:
    page = visit.open(f"/chat?run={numbers['whole']}")
    with held_in_mid_answer(page, server, "Say red 1 times."):
        before = answers(page, AFTER).inner_text()
        page.reload()
        visit.alive()
        assert answers(page, AFTER).inner_text().startswith(before[:5])
        page.get_by_role("button", name="Stop").click()
        done(page)
    page.get_by_text(re.compile("^Stopped")).first.wait_for()


def test_two_tabs_talk_with_two_models_at_once(visits: Any, server: Server, numbers: dict[str, int]) -> None:
    tabs = [visits(server), visits(server)]
    pages = [tab.open(f"/chat?run={numbers[kind]}") for tab, kind in zip(tabs, ("adapter", "whole"), strict=True)]
    for page in pages:
        settle(page, Longest_answer="12")
        page.get_by_label("Your message").fill("Say blue.")
        page.get_by_role("button", name="Send").click()
    for page in pages:
        page.get_by_role("button", name="Send").wait_for()
        page.locator("article").nth(1).wait_for()
        done(page)
    stranger = visits(server).open(f"/chat?run={numbers['adapter']}")
    assert stranger.locator(".at-chat-turn").count() == 0  # another browser sees nothing of it


def test_in_chinese_on_a_phone_in_the_dark(visits: Any, server: Server, numbers: dict[str, int]) -> None:
    visit = visits(server, language="zh", dark=True, size=PHONE)
    page = visit.open(f"/chat?run={numbers['adapter']}")
    page.get_by_label("您的消息").fill("你好")
    page.get_by_role("button", name="发送").click()
    page.get_by_role("button", name="再问一次").wait_for()
    page.get_by_role("heading", name="训练后").wait_for()
    assert visit.overflow() == 0
    assert visit.faults() == []
    page = visit.open("/chat")
    assert (visit.overflow(), visit.faults()) == (0, [])


def test_a_model_process_that_dies_is_said_and_the_next_question_works(
    visit: Any, server: Server, numbers: dict[str, int]
) -> None:
    page = visit.open(f"/chat?run={numbers['whole']}")
    page.get_by_text(re.compile("^Ready")).wait_for()
    with held_in_mid_answer(page, server, "Say red 1 times."):
        for process in models_of(server):
            os.kill(process, signal.SIGKILL)
    page.get_by_text("most likely because memory ran out").first.wait_for()
    settle(page, Longest_answer="8")
    ask_again(page)
    assert page.get_by_text("memory ran out").count() == 0


def test_a_reward_model_scores_answers(visit: Any, numbers: dict[str, int]) -> None:
    page = visit.open(f"/chat?run={numbers['reward']}")
    page.get_by_label("Question").fill("Say red.")
    page.get_by_label("Answer 1").fill("red")
    page.get_by_label("Answer 2").fill("blue blue blue")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Score").click()
    page.get_by_text("liked best").wait_for()
    assert page.get_by_text(re.compile(r"^Score -?\d")).count() == 2
    assert visit.faults() == []
    page.reload()
    visit.alive()
    assert page.get_by_label("Answer 2").input_value() == "blue blue blue"


def test_a_run_that_still_trains_and_one_that_is_not_there_say_so(visit: Any, numbers: dict[str, int]) -> None:
    page = visit.open(f"/chat?run={numbers['training']}")
    assert "hasn't finished" in page.get_by_role("alert").inner_text()
    page = visit.open("/chat?run=9999")
    assert page.get_by_role("alert").inner_text()
    page = visit.open("/chat?model=../../etc")
    assert "isn't there" in page.get_by_role("alert").inner_text()
    assert visit.faults() == []


def test_a_restart_in_mid_answer_leaves_no_process_and_a_page_that_works(
    visits: Any, server: Server, numbers: dict[str, int]
) -> None:
    visit = visits(server)
    page = visit.open(f"/chat?run={numbers['whole']}")
    page.get_by_text(re.compile("^Ready")).wait_for()
    with held_in_mid_answer(page, server, "Say red 1 times."):
        models = models_of(server)
        server.kill()
    for process in models:
        for _ in range(600):
            if not find_process(process):
                break
            page.wait_for_timeout(100)
        else:
            pytest.fail("the model outlived its server")
    server.start()
    page.locator(".at-chat-turn").wait_for(state="detached")  # conversations are kept in memory only
    page.get_by_text(re.compile("^Ready")).wait_for()
