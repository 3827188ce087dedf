"""The jobs queue: as many at once as the machine holds, the rest in order; stopped with all they started."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from autotrain.app import launching, queue
from autotrain.app.feeds import Feeds, RunView
from autotrain.app.launching import launch
from autotrain.app.queue import Queue
from autotrain.app.settings import Settings
from autotrain.app.workspace import Workspace
from autotrain.backends import local
from autotrain.errors import ConfigError, RunFolderError
from autotrain.runs import waiting
from autotrain.runs.processes import belonging_to, find_process
from autotrain.runs.registry import get
from autotrain.trainers.clm.params import LLMTrainingParams

SECONDS = 60
LONG = 500  # epochs: the test is over before the run is, however busy the machine


class Page:
    """A queue and its feeds, as the server makes them; `again()` is the server started anew."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.token = settings, SecretStr("hf_pagestoken1234")
        self.again()

    def again(self) -> None:
        self.queue = Queue(Workspace(self.settings.workspace), self.settings.capacity, lambda: self.token)
        self.feeds = Feeds(self.queue.is_stopping)

    def view(self, number: int) -> RunView:
        return self.feeds.run(number).view()

    def wait(self, number: int, until: Callable[[RunView], bool]) -> RunView:
        end = time.monotonic() + SECONDS
        while not until(view := self.view(number)):
            assert time.monotonic() < end, f"it stays {view}"
            time.sleep(0.02)
        return view

    def environment(self, name: str) -> dict[str, Any]:
        return json.loads((self.settings.workspace / name / "run.json").read_text())


@pytest.fixture
def page(settings: Settings, worker_double: None) -> Iterator[Page]:
    one = Page(settings)
    one.queue.start()
    yield one
    one.queue.close()
    for view in one.feeds.all():
        if view.is_live:
            asyncio.run(one.queue.stop(view.number, now=True))


def params(name: str, **said: Any) -> LLMTrainingParams:
    return LLMTrainingParams(**{"model": "acme/tiny", "project_name": name, "data_path": "data", "trainer": "sft", **said})


def test_one_trains_the_rest_wait_in_order_and_all_are_done(page: Page):
    numbers = [page.queue.submit(params(name, epochs=LONG), "local") for name in ("a", "b", "c")]
    assert page.queue.waiting()[-2:] == numbers[1:]
    for at, number in enumerate(numbers):
        page.wait(number, lambda view: view.stage == "training")
        views = {view.number: view for view in page.feeds.all()}
        assert [views[one].position_in_queue for one in numbers[at + 1 :]] == list(range(1, 3 - at))
        assert sum(view.stage in ("starting", "training") for view in views.values()) == 1
        asyncio.run(page.queue.stop(number))
    started = [page.view(number).started for number in numbers]
    assert sorted(started) == started


def test_all_that_waits_is_done(page: Page):
    numbers = [page.queue.submit(params(name, epochs=1), "local") for name in ("a", "b", "c")]
    for number in numbers:
        page.wait(number, lambda view: view.stage == "finished")
    assert page.queue.waiting() == [] and [page.view(number).position_in_queue for number in numbers] == [0, 0, 0]


def test_a_run_that_is_asked_for_several_times_at_once_begins_once(page: Page, monkeypatch: pytest.MonkeyPatch):
    """By double clicks, two tabs, an impatient program."""
    started: list[int] = []
    monkeypatch.setattr("autotrain.app.queue.launch", lambda entry, token: (started.append(entry.id), launch(entry, token)))

    def ask(_: int) -> int | None:
        try:
            return page.queue.submit(params("a", epochs=LONG), "local")
        except RunFolderError:
            return None

    with ThreadPoolExecutor(8) as threads:
        numbers = [one for one in threads.map(ask, range(24)) if one is not None]
    page.wait(numbers[0], lambda view: view.stage == "training")
    assert len(numbers) == 1 and started == numbers and page.queue.waiting() == []


def test_a_machine_that_holds_two_trains_two(settings: Settings, worker_double: None):
    from dataclasses import replace

    page = Page(replace(settings, capacity=2))
    page.queue.start()
    numbers = [page.queue.submit(params(name, epochs=LONG), "local") for name in ("a", "b", "c")]
    for number in numbers[:2]:
        page.wait(number, lambda view: view.stage == "training")
    assert page.queue.waiting() == numbers[2:]
    for number in reversed(numbers):
        asyncio.run(page.queue.stop(number, now=True))
    page.queue.close()


def test_a_run_started_elsewhere_keeps_the_machine_busy_too(page: Page):
    """By the command line, or by a server that was restarted meanwhile."""
    number = page.queue.submit(params("a", epochs=LONG), "local")
    page.wait(number, lambda view: view.stage == "training")
    page.queue.close()
    page.again()
    page.queue.start()
    other = page.queue.submit(params("b"), "local")
    time.sleep(1)
    assert page.view(other).stage == "waiting" and page.view(number).stage == "training"


def test_what_waits_is_there_after_a_restart_and_begins(page: Page):
    page.queue.close()
    number = page.queue.submit(params("a"), "local")
    page.again()
    assert page.queue.waiting() == [number]
    page.queue.start()
    assert page.wait(number, lambda view: view.stage == "finished").number == number


def test_a_secret_is_in_no_file_and_reaches_its_own_run_alone(page: Page):
    """The token of who asked, in the worker's environment; after a restart that of the page."""
    page.queue.close()
    page.queue.submit(params("a", token="hf_ofoneperson123"), "local")
    page.queue.submit(params("b"), "local", token=SecretStr("hf_ofanother12345"))
    page.queue.submit(params("c"), "local")
    home, workspace = page.settings.home, page.settings.workspace
    written = [file for folder in (home, workspace) for file in folder.rglob("*") if file.is_file()]
    assert written and not [file for file in written if b"hf_of" in file.read_bytes() or b"hf_pages" in file.read_bytes()]
    page.queue._is_closed.clear()  # the same server goes on
    page.queue.start()
    for number in (1, 2, 3):
        page.wait(number, lambda view: view.stage == "finished")
    assert [page.environment(name)["HF_TOKEN"] for name in "abc"] == [
        "hf_ofoneperson123",
        "hf_ofanother12345",
        "hf_pagestoken1234",
    ]


def test_a_run_that_begins_while_it_is_asked_for_has_its_own_token(page: Page, monkeypatch: pytest.MonkeyPatch):
    """The queue may see it before `submit` has come to its next line."""
    enqueued = queue.enqueue

    def enqueue_slowly(*arguments: Any, **options: Any) -> int:
        number = enqueued(*arguments, **options)
        page.queue._wake.set()
        time.sleep(1)
        return number

    monkeypatch.setattr(queue, "enqueue", enqueue_slowly)
    number = page.queue.submit(params("a"), "local", token=SecretStr("hf_ofoneperson123"))
    page.wait(number, lambda view: view.stage == "finished")
    assert page.environment("a")["HF_TOKEN"] == "hf_ofoneperson123" and not page.queue._tokens


def test_a_start_whose_failure_cant_be_noted_ends_nothing_else(
    page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def cannot(*_: object) -> None:
        raise RunFolderError("the registry can't be written")

    with monkeypatch.context() as patched:
        for name in ("submit", "fail"):
            patched.setattr(launching, name, cannot)
        number = page.queue.submit(params("a"), "local")
        end = time.monotonic() + SECONDS
        while "a couldn't be started: the registry can't be written" not in caplog.text:
            assert time.monotonic() < end
            time.sleep(0.02)
    launching.fail(number, "")
    page.wait(page.queue.submit(params("b"), "local"), lambda view: view.stage == "finished")


def test_each_run_has_the_parameters_that_it_was_given(page: Page):
    """AutoTrain kept them in one place for all, and each request changed what the next one got (DEFECT-7)."""
    said = {"a": {"lr": 1e-3, "lora_r": 4, "peft": True}, "b": {"epochs": 2}, "c": {}}
    numbers = {name: page.queue.submit(params(name, **values), "local") for name, values in said.items()}
    for name, number in numbers.items():
        page.wait(number, lambda view: view.stage == "finished")
        kept = page.feeds.run(number).params()
        assert kept.model_fields_set == {"model", "project_name", "data_path", "trainer", *said[name]}
        assert {field: getattr(kept, field) for field in said[name]} == said[name]


def test_stopping_saves_and_leaves_no_process_behind(page: Page):
    """AutoTrain ended the launcher, and what it had started kept the machine (DEFECT-4)."""
    number = page.queue.submit(params("tree", epochs=LONG), "local")
    page.wait(number, lambda view: view.step > 2)
    worker = find_process(get(number).pid)
    assert worker
    tree = belonging_to(worker)
    assert len(tree) == 2
    asyncio.run(page.queue.stop(number))
    view = page.wait(number, lambda view: not view.is_live)
    assert view.stage == "interrupted" and "saved" in view.reason and view.can_resume
    assert [pid for pid, one in tree.items() if (now := find_process(pid)) and now.born == one.born] == []


def test_a_run_that_begins_while_it_is_stopped_is_stopped(page: Page, monkeypatch: pytest.MonkeyPatch):
    """Regression: it was taken for one that waits and, no longer in the queue, for one without a worker here (409)."""
    page.queue.close()
    number = page.queue.submit(params("a", epochs=LONG), "local")

    def take_out_too_late(number: int) -> bool:
        page.queue._is_closed.clear()
        page.queue.start()
        while (queued := get(number).queued) and queued.stage == "waiting":
            time.sleep(0.01)
        return really_take_out(number)

    really_take_out = waiting.take_out
    monkeypatch.setattr(waiting, "take_out", take_out_too_late)
    asyncio.run(page.queue.stop(number))
    page.wait(number, lambda view: view.stage in ("stopped", "interrupted"))
    assert not page.queue._tokens


def test_a_run_that_was_asked_for_anew_is_no_longer_stopping(page: Page):
    """Regression: while its children of before were being ended, it was shown as stopping, and couldn't be stopped."""
    number = page.queue.submit(params("tree", epochs=LONG), "local")
    page.wait(number, lambda view: view.step > 2)

    async def stop_and_resume() -> None:
        await page.queue.stop(number)
        while page.view(number).is_live:
            await asyncio.sleep(0.02)
        await page.queue.resume(number)
        assert not page.queue.is_stopping(number)

    asyncio.run(stop_and_resume())
    page.wait(number, lambda view: view.stage == "training")
    asyncio.run(page.queue.stop(number))
    assert not page.wait(number, lambda view: not view.is_live).is_live


def test_a_run_that_takes_its_time_to_save_is_shown_as_stopping(page: Page):
    async def stop() -> list[bool]:
        seen: list[bool] = []
        task = asyncio.create_task(page.queue.stop(number))
        while not task.done():
            seen.append(page.queue.is_stopping(number))
            await asyncio.sleep(0.01)
        while page.queue.is_stopping(number):
            await asyncio.sleep(0.01)
        return seen

    number = page.queue.submit(params("tree", epochs=LONG), "local")
    page.wait(number, lambda view: view.step > 2)
    assert any(asyncio.run(stop())) and not page.view(number).is_stopping


def test_a_stopped_run_goes_on_where_it_stopped(page: Page):
    number = page.queue.submit(params("slow", epochs=5), "local")
    page.wait(number, lambda view: view.step > 2)
    asyncio.run(page.queue.stop(number))
    step = page.wait(number, lambda view: not view.is_live).step
    assert 0 < step < 50
    assert asyncio.run(page.queue.resume(number)) == number
    page.wait(number, lambda view: view.stage == "finished")
    steps = [row["step"] for row in page.feeds.run(number).since(0).rows]
    assert steps == list(range(1, 51))


def test_a_waiting_run_is_taken_out_and_can_begin_later(page: Page):
    first = page.queue.submit(params("a", epochs=LONG), "local")
    page.wait(first, lambda view: view.stage == "training")
    number = page.queue.submit(params("b"), "local")
    asyncio.run(page.queue.stop(number))
    view = page.view(number)
    assert (view.stage, view.is_live, view.can_resume) == ("stopped", False, True)
    asyncio.run(page.queue.stop(first))
    asyncio.run(page.queue.resume(number))
    assert page.wait(number, lambda view: view.stage == "finished").number == number


def test_a_run_that_is_stopped_before_it_has_a_folder_can_begin_later(page: Page, monkeypatch: pytest.MonkeyPatch):
    """The real worker takes seconds to get there."""
    command = local.worker_command
    asleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(local, "worker_command", lambda *_: asleep)
    number = page.queue.submit(params("a"), "local")
    while page.view(number).stage != "starting" or get(number).queued:
        time.sleep(0.02)
    asyncio.run(page.queue.stop(number))
    view = page.wait(number, lambda view: not view.is_live)
    assert (view.stage, view.reason, view.can_resume) == ("stopped", "it was stopped before its first step", True)
    monkeypatch.setattr(local, "worker_command", command)
    asyncio.run(page.queue.resume(number))
    assert page.wait(number, lambda view: view.stage == "finished").number == number


def test_a_run_that_the_worker_refuses_says_why_and_keeps_its_parameters(page: Page):
    number = page.queue.submit(params("a", data_path="data/none"), "local")
    view = page.wait(number, lambda view: not view.is_live)
    assert (view.stage, view.reason) == ("failed", "data.path: no file or folder data/none")
    assert page.feeds.run(number).params().data_path == "data/none"


def test_what_can_be_known_before_is_refused_at_once(page: Page):
    number = page.queue.submit(params("a"), "local")
    page.wait(number, lambda view: view.stage == "finished")
    with pytest.raises(RunFolderError, match="holds a run already"):
        page.queue.submit(params("a"), "local")
    assert page.queue.submit(params("a"), "local", overwrite=True) == number
    with pytest.raises(ConfigError, match="push_to_hub"):
        page.queue.submit(params("c", push_to_hub=False), "spaces-t4-small")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data_path", "/etc"),
        ("data_path", "../other"),
        ("data_path", "data/../../other"),
        ("data_path", "~/secrets"),
        ("data_path", "link"),
        ("model", "/root/model"),
        ("model_ref", "../model"),
        ("chat_template", "../template.jinja"),
        ("train_split", "../../etc/passwd"),
        ("valid_split", "../x"),
    ],
)
def test_no_path_leads_out_of_the_workspace(page: Page, field: str, value: str):
    (page.settings.workspace / "link").symlink_to(page.settings.workspace.parent)
    with pytest.raises(ConfigError, match=f"^{field}: "):
        page.queue.submit(params("a", **{field: value}), "local")


def test_a_run_works_in_the_workspace_whatever_folder_the_server_stands_in(page: Page, tmp_path: Path):
    number = page.queue.submit(params("a"), "local")
    page.wait(number, lambda view: view.stage == "finished")
    assert page.environment("a")["cwd"] == str(page.settings.workspace)


def test_a_run_of_the_command_line_is_resumed_in_its_own_folder(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from autotrain.runs import register

    elsewhere = tmp_path / "elsewhere" / "a"
    elsewhere.mkdir(parents=True)
    params("a").save(elsewhere)
    state = {"stage": "interrupted", "step": 3, "total_steps": 10, "pid": 2**22 - 3, "heartbeat": 1.0, "message": ""}
    (elsewhere / "state.json").write_text(json.dumps(state))
    number = register("a", elsewhere, "local", 2**22 - 3)
    assert number and asyncio.run(page.queue.resume(number)) == number
    page.wait(number, lambda view: view.stage == "finished")
    assert json.loads((elsewhere / "run.json").read_text())["cwd"] == str(elsewhere.parent)


def test_a_run_is_deleted_when_it_has_ended_and_its_folder_only_if_asked_for(page: Page):
    numbers = [page.queue.submit(params(name, epochs=LONG), "local") for name in ("a", "b")]
    for number in reversed(numbers):  # one that waits, and one that trains
        with pytest.raises(RunFolderError, match="stop it first"):
            asyncio.run(page.queue.remove(number, with_folder=True))
    for number in numbers:
        page.wait(number, lambda view: view.stage == "training")
        asyncio.run(page.queue.stop(number))
        page.wait(number, lambda view: not view.is_live)
    asyncio.run(page.queue.remove(numbers[0], with_folder=False))
    asyncio.run(page.queue.remove(numbers[1], with_folder=True))
    assert page.feeds.list()[0] == 0
    assert (page.settings.workspace / "a").exists() and not (page.settings.workspace / "b").exists()


def test_a_note_stays_with_its_run(page: Page):
    number = page.queue.submit(params("a"), "local")
    asyncio.run(page.queue.note(number, "  the good one, hf_secretsecret1  "))
    assert page.view(number).notes == "the good one, hf_****"
    assert page.feeds.list("GOOD")[0] == 1
    with pytest.raises(ConfigError, match="at most"):
        asyncio.run(page.queue.note(number, "x" * 5000))
