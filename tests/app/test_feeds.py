"""What is read of runs: right after any change of their files, quick with long runs and many, and little in memory."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotrain import log
from autotrain.app.feeds import Feeds, RunFeed, RunView, run_feed
from autotrain.app.feeds import series as series_module
from autotrain.app.feeds.series import Column, Series
from autotrain.app.feeds.tail import mark, read_mark
from autotrain.app.feeds.view import seconds_left, view_entry
from autotrain.app.settings import Settings
from autotrain.runs import register
from autotrain.runs.registry import NoSuchRun, forget
from autotrain.trainers.clm.params import LLMTrainingParams

DEAD = 2**22 - 3


def write_state(folder: Path, stage: str, step: int, total_steps: int = 100, pid: int = DEAD) -> None:
    state = {"stage": stage, "step": step, "total_steps": total_steps, "pid": pid, "heartbeat": 5.0, "message": ""}
    (folder / ".tmp-state").write_text(json.dumps(state))
    (folder / ".tmp-state").replace(folder / "state.json")


def row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "loss": 10.0 / step, "tokens": step * 100, "seconds": step * 0.5, **more}


def add(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("a") as opened:
        opened.write("".join(json.dumps(one) + "\n" for one in rows))


def make_run(settings: Settings, name: str, stage: str = "finished", step: int = 3, **params: Any) -> int:
    folder = settings.workspace / name
    LLMTrainingParams(**{"model": "acme/tiny", "project_name": name, "data_path": "data", **params}).save(folder)
    write_state(folder, stage, step)
    add(folder / "metrics.jsonl", [row(one) for one in range(1, step + 1)])
    number = register(name, folder, "local", os.getpid() if stage == "training" else DEAD)
    assert number is not None
    return number


@pytest.fixture
def folder(settings: Settings) -> Path:
    return settings.workspace / "run"


@pytest.fixture
def feed(settings: Settings, folder: Path) -> RunFeed:
    """Of a run that trains: this process is its worker."""
    number = make_run(settings, "run", "training")
    write_state(folder, "training", 3, pid=os.getpid())
    return Feeds().run(number)


# Where a run stands


def test_a_view_says_where_the_run_stands_and_how_long_it_takes(feed: RunFeed):
    view = feed.view()
    assert (view.stage, view.step, view.total_steps, view.last_loss) == ("training", 3, 100, 10 / 3)
    assert view.seconds_left == 97 * 0.5
    assert (view.base_model, view.trainer, view.is_live, view.ended) == ("acme/tiny", "default", True, None)


def test_the_time_left_counts_validation_and_the_speed_of_late():
    # 10 steps at 1 s, then 10 at 2 s; a validation of 5 s every 10 steps: (2 + 10 / 20) s a step for the 80 left.
    rows = [{"step": step, "tokens": 1, "seconds": step if step <= 10 else 10 + 2 * (step - 10)} for step in range(1, 21)]
    rows.insert(10, {"step": 10, "eval_seconds": 5.0})
    rows.append({"step": 20, "eval_seconds": 5.0})
    assert seconds_left(rows[-11:], 20, 100) == pytest.approx((2 + 5 / 9) * 80, abs=0.1)
    assert seconds_left(rows, 20, 100) == pytest.approx((29 / 19 + 10 / 19) * 80, abs=0.1)
    assert seconds_left([], 0, 100) is None and seconds_left(rows, 100, 100) == 0


def test_the_step_is_that_of_the_metrics_where_these_are_ahead(feed: RunFeed, folder: Path):
    add(folder / "metrics.jsonl", [row(9)])
    assert feed.view().step == 9


def test_a_run_that_was_forgotten_is_no_longer_there(feed: RunFeed):
    forget(feed.number)
    feed.forget_view()
    for ask in (feed.view, feed.log_size, feed.samples, feed.params):
        with pytest.raises(NoSuchRun):
            ask()


def test_what_was_read_before_a_change_isnt_shown_after_it(feed: RunFeed, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Regression: a look that had begun before the change was told counted as fresh after it."""

    def look(*arguments: Any, **named: Any) -> RunView:
        seen = view_entry(*arguments, **named)
        write_state(folder, "finished", 100, pid=os.getpid())
        feed.forget_view()
        return seen

    with monkeypatch.context() as patched:
        patched.setattr(run_feed, "view_entry", look)
        assert feed.view().stage == "training"
    assert feed.view().stage == "finished"


# Metrics


def test_what_is_new_since_a_position(feed: RunFeed, folder: Path):
    position, rows, _ = feed.since(0)
    assert [one["step"] for one in rows] == [1, 2, 3] and rows[0]["tokens_per_second"] == 200
    add(folder / "metrics.jsonl", [row(4, tokens=700, seconds=3.5)])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    again, rows, _ = feed.since(position)
    assert [(one["step"], one["tokens_per_second"]) for one in rows] == [(4, 200)]  # 400 tokens in 2 s
    assert feed.since(again).rows == []


def test_after_the_file_was_cut_back_the_page_begins_again(feed: RunFeed, folder: Path):
    position = feed.since(0).position
    file = folder / "metrics.jsonl"
    file.write_text(json.dumps(row(1)) + "\n")
    assert feed.since(position) == (0, [], True)
    add(file, [row(step, loss=0.123456789) for step in range(2, 9)])
    assert feed.since(position) == (0, [], True)  # in the middle of a line
    assert feed.history(["loss"])["loss"][-1] == [8, 0.123456789]


def test_a_mark_holds_over_restarts_and_notices_a_resume(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    add(file, [row(step) for step in range(1, 400)])
    position = len(b"".join(file.read_bytes().splitlines(keepends=True)[:300]))
    said = mark(file, position)
    assert read_mark(file, said) == position
    add(file, [row(400)])
    assert read_mark(file, said) == position
    file.write_bytes(file.read_bytes().replace(b"loss", b"lose"))
    assert read_mark(file, said) is None and read_mark(file, "nonsense") is None


def test_a_picture_keeps_the_lowest_and_the_highest(tmp_path: Path):
    file = tmp_path / "metrics.jsonl"
    values = {step: 1.0 for step in range(1, 10_001)} | {4321: 99.0, 8765: -99.0}
    add(file, [row(step, loss=value) for step, value in values.items()])
    _, history = Series(file).history(["loss"], None, None, 100)
    assert len(history["loss"]) <= 102
    assert [4321, 99.0] in history["loss"] and [8765, -99.0] in history["loss"]
    assert history["loss"][0][0] == 1 and history["loss"][-1][0] == 10_000
    _, part = Series(file).history(["loss"], 4300, 4350, 100)
    assert [step for step, _ in part["loss"]] == list(range(4300, 4351))


def test_a_number_that_isnt_finite_is_no_point(tmp_path: Path):
    add(tmp_path / "m", [row(1), row(2, loss=None, grad_norm=None), row(3)])
    assert [step for step, _ in Series(tmp_path / "m").history(["loss"], None, None, 9)[1]["loss"]] == [1, 3]


def test_a_run_without_end_takes_no_memory_without_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(series_module, "MAX_POINTS", 1000)
    column = Column()
    for step in range(50_000):
        column.append(step, float(step))
    assert len(column.steps) <= 1000
    assert column.points(None, None, 5000)[-1] == [49_999, 49_999.0]
    assert column.steps[0] == 0 and list(column.steps) == sorted(column.steps)


# The log


def test_lines_are_found_by_their_numbers_however_long_the_log(feed: RunFeed, folder: Path):
    file = folder / "train.log"
    file.write_text("".join(f"line {number}\n" for number in range(1000)) + "begun")
    assert feed.log_size() == 1000
    assert feed.log_lines(777, 2) == ["line 777", "line 778"] and feed.log_lines(999, 9) == ["line 999"]
    assert feed.log_lines(1000, 5) == [] and feed.log_lines(-1, 5) == []
    with file.open("a") as opened:
        opened.write(" and done\nlast\n")
    assert feed.log_size() == 1002 and feed.log_lines(1000, 2) == ["begun and done", "last"]


def test_a_log_begun_anew_is_read_anew(feed: RunFeed, folder: Path):
    (folder / "train.log").write_text("one\ntwo\nthree\n")
    assert feed.log_size() == 3
    (folder / "train.log").unlink()
    (folder / "train.log").write_text("other\n")
    assert (feed.log_size(), feed.log_lines(0, 5)) == (1, ["other"])


def test_secrets_in_a_log_are_neither_shown_nor_found(feed: RunFeed, folder: Path):
    log.hide_secret("open-sesame")
    (folder / "train.log").write_text("with hf_abcdefghij and open-sesame\n")
    assert feed.log_lines(0, 1) == ["with hf_**** and ****"]
    assert feed.log_find("sesame", 0) == (None, 0) and feed.log_find("ABCDEF", 0) == (None, 0)
    assert feed.log_find("WITH", 0) == (0, 1)


def test_of_a_progress_bar_its_last_state_is_shown(feed: RunFeed, folder: Path):
    (folder / "train.log").write_bytes(b"loading 1%\rloading 50%\rloading 100%\nnext\r\n")
    assert feed.log_lines(0, 2) == ["loading 100%", "next"]


# Watching


def in_loop(work: Callable[[list[float]], Any], feed: RunFeed | Feeds) -> list[float]:
    """When, in seconds from the start, a watcher was called while `work` went on."""

    async def run() -> list[float]:
        started, calls = time.monotonic(), list[float]()
        cancel = feed.watch(lambda: calls.append(time.monotonic() - started))
        while not calls and time.monotonic() - started < 20:  # the first look tells, however long it takes
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.6)
        calls.clear()
        started = time.monotonic()
        await work(calls)
        cancel()
        cancel()
        return calls

    return asyncio.run(run())


@pytest.mark.parametrize("what", ["state.json", "metrics.jsonl", "train.log", "samples.jsonl"])
def test_a_change_is_told_within_a_second_and_quiet_is_quiet(feed: RunFeed, folder: Path, what: str):
    waits: list[float] = []

    async def work(calls: list[float]) -> None:
        await asyncio.sleep(0.5)
        assert calls == []
        for _ in range(3):
            calls.clear()
            add(folder / what, [{}])
            changed = time.monotonic()
            while not calls and time.monotonic() - changed < 10:
                await asyncio.sleep(0.01)
            waits.append(time.monotonic() - changed)

    in_loop(work, feed)
    assert min(waits) < 1.0, waits  # the machine of a test may be busy


def test_many_changes_are_told_at_most_every_quarter_of_a_second(feed: RunFeed, folder: Path):
    async def work(calls: list[float]) -> None:
        started = time.monotonic()
        for step in range(10, 160):
            add(folder / "metrics.jsonl", [row(step)])
            await asyncio.sleep(0.01)
        took.append(time.monotonic() - started)

    took: list[float] = []
    calls = in_loop(work, feed)
    assert 1 <= len(calls) <= took[0] / 0.25 + 2


def test_the_list_is_told_of_new_runs_and_of_live_ones(settings: Settings, feed: RunFeed, folder: Path):
    async def work(calls: list[float]) -> None:
        for change in (lambda: make_run(settings, "other"), lambda: write_state(folder, "training", 50, pid=os.getpid())):
            calls.clear()
            await asyncio.to_thread(change)
            end = time.monotonic() + 10
            while not calls and time.monotonic() < end:
                await asyncio.sleep(0.01)
            assert calls

    in_loop(work, Feeds())


def test_a_watcher_that_fails_doesnt_keep_the_others_from_hearing(feed: RunFeed, folder: Path):
    async def run() -> int:
        heard: list[int] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        feed.watch(lambda: 1 // 0)
        feed.watch(lambda: heard.append(1))
        for step in (10, 11):
            await asyncio.sleep(0.5)
            add(folder / "metrics.jsonl", [row(step)])
        await asyncio.sleep(0.6)
        return len(heard)

    assert asyncio.run(run()) >= 2


# The list


def test_the_list_is_searched_by_words_and_stage(settings: Settings):
    make_run(settings, "first-dpo", trainer="dpo", model="acme/large")
    make_run(settings, "second", "interrupted")
    make_run(settings, "third", trainer="sft")
    feeds = Feeds()

    def names(query: str = "", stages: tuple[str, ...] = ()) -> list[str]:
        return [view.name for view in feeds.list(query, stages)[1]]

    assert names() == ["third", "second", "first-dpo"]
    assert names("DPO large") == ["first-dpo"] and names("#2") == ["second"] and names("zzz") == []
    assert names("", ("interrupted",)) == ["second"]
    assert feeds.list(offset=1, limit=1)[0] == 3 and feeds.list(offset=1, limit=1)[1][0].name == "second"


def test_a_run_that_has_ended_is_looked_at_again_only_when_something_changed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    from autotrain.app.feeds import run_list

    looked: list[str] = []
    look_at = run_list.look_at
    monkeypatch.setattr(run_list, "look_at", lambda entry: looked.append(entry.name) or look_at(entry))
    for name in ("a", "b"):
        make_run(settings, name)
    feeds = Feeds()
    feeds.list()
    assert sorted(looked) == ["a", "b"]
    looked.clear()
    feeds.list()
    assert looked == []
    write_state(settings.workspace / "a", "failed", 3)
    assert {view.name: view.stage for view in feeds.all()} == {"a": "failed", "b": "finished"} and looked == ["a"]
    register("b", settings.workspace / "b", "local", os.getpid())
    assert feeds.list()[1][0].stage == "starting"


def test_a_thousand_runs_are_listed_in_well_under_a_third_of_a_second(settings: Settings):
    import sqlite3

    from autotrain.home import home

    make_run(settings, "run-0")
    source = settings.workspace / "run-0"
    rows = []
    for index in range(1, 1000):
        folder = settings.workspace / f"run-{index}"
        folder.mkdir()
        for name in ("state.json", "metrics.jsonl", "training_params.json"):
            os.link(source / name, folder / name)
        rows.append((f"run-{index}", str(folder), float(index), DEAD))
    with sqlite3.connect(home() / "runs.db") as database:
        database.executemany("insert into runs (name, folder, started, backend, pid) values (?, ?, ?, 'local', ?)", rows)
    feeds = Feeds()
    assert feeds.list()[0] == 1000
    started = time.process_time()
    total, found = feeds.list("run-99", ("finished",), limit=50)
    assert time.process_time() - started < 0.15
    assert total == 11 and len(found) == 11


def test_a_hundred_thousand_steps_are_at_hand(settings: Settings):
    number = make_run(settings, "long", step=100_000)
    feed = Feeds().run(number)
    started = time.process_time()
    names = feed.metric_names()
    assert time.process_time() - started < 10  # once; 0.6 s on an idle machine
    started = time.process_time()
    history = feed.history(names, points=1000)
    feed.view()
    feed.since((settings.workspace / "long" / "metrics.jsonl").stat().st_size)
    assert time.process_time() - started < 0.5
    assert all(0 < len(points) <= 1002 for points in history.values())


def test_runs_that_nobody_looks_at_give_their_memory_back(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    from autotrain.app.feeds import run_list

    numbers = [make_run(settings, name) for name in ("a", "b")]
    feeds = Feeds()
    first = feeds.run(numbers[0])
    assert feeds.run(numbers[0]) is first
    monkeypatch.setattr(run_list, "_IDLE_SECONDS", -1.0)
    feeds.run(numbers[1])
    assert feeds.run(numbers[0]) is not first
