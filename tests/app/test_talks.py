"""Models behind the page: loaded once, asked by several at once, put away, and what is said when one can't be had."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")

from results_of import make_run

from autotrain import log
from autotrain.app.state import AppState
from autotrain.app.talks import Conversation, Piece, Question, Scoring, Talk, TalkProblem, Talks, Turn, subject_of
from autotrain.app.talks.problem import KINDS

SAMPLED = {"temperature": 1.2, "top_p": 0.9, "max_new_tokens": 16, "seed": 11}
LONG = {"max_new_tokens": 400, "temperature": 1.0}
Asked = Callable[[], Awaitable[None]]


def in_a_server(work: Asked) -> None:
    """In the event loop that the page has."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(work(), 300))


def question(text: str, **fields: Any) -> Question:
    return Question([{"role": "user", "content": text}], **fields)


async def answer(talk: Talk, text: str, *, of_base: bool = False, **fields: Any) -> Piece:
    pieces = [piece async for piece in talk.answer(question(text, **fields), of_base=of_base)]
    assert pieces[-1].reason
    assert "".join(piece.text for piece in pieces[:-1]).strip() == pieces[-1].text
    return pieces[-1]


def subject(state: AppState, number: int) -> Any:
    return subject_of(state.feeds.run(number).view())


def process_of(talks: Talks, name: str) -> int:
    process = talks._models[name][2]._process
    assert process is not None
    return process.pid


def is_alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end, "it doesn't happen"
        await asyncio.sleep(0.05)


def test_one_process_answers_tuned_and_base_to_several_people(state: AppState, tiny_model: Path) -> None:
    talk = state.talks.open(subject(state, make_run(state.workspace.root, "my-run", tiny_model)))

    async def work() -> None:
        one = await answer(talk, "Say red.", **SAMPLED)
        both = await asyncio.gather(
            answer(talk, "Say red.", **SAMPLED),
            answer(talk, "Say red.", of_base=True, **SAMPLED),
            answer(talk, "Say red.", **{**SAMPLED, "seed": 12}),
        )
        assert both[0].text == one.text
        assert len({piece.text for piece in both}) == 3
        assert len(state.talks.loaded()) == 1
        leaving = talk.answer(question("Say red.", **LONG))
        await anext(leaving)
        await leaving.aclose()  # a closed tab stops its answer
        process = state.talks._models[talk.subject.name][2]
        assert not process.is_busy
        pid = process_of(state.talks, talk.subject.name)
        state.talks.close()
        await until(lambda: not is_alive(pid))

    in_a_server(work)


def test_a_question_that_is_taken_back_before_the_model_is_there_harms_nobody(state: AppState, tiny_model: Path) -> None:
    found = subject(state, make_run(state.workspace.root, "my-run", tiny_model, kind="whole"))

    async def work() -> None:
        mine = state.talks.kept.conversation("a browser", found)
        mine.ask("Say red.")
        await asyncio.sleep(0)
        mine.stop()
        await until(lambda: not mine.is_busy)
        assert (mine.turns[0].tuned.reason, mine.turns[0].tuned.text) == ("stopped", "")
        assert (await answer(state.talks.open(found), "Say red.", max_new_tokens=4)).num_tokens > 0
        state.talks.close()

    in_a_server(work)


def test_a_question_that_is_taken_back_at_once_is_over(state: AppState, tiny_model: Path) -> None:
    """Regression: one that was stopped before its first step waited for its model for ever."""
    found = subject(state, make_run(state.workspace.root, "my-run", tiny_model))

    async def work() -> None:
        mine = state.talks.kept.conversation("a browser", found)
        changes: list[bool] = []
        mine.watch(lambda: changes.append(mine.is_busy))
        mine.ask("Say red.")
        mine.stop()
        await asyncio.sleep(0.1)
        assert not mine.is_busy and changes[-1] is False
        assert mine.turns[0].base is not None
        assert mine.turns[0].tuned.reason == mine.turns[0].base.reason == "stopped"
        state.talks.close()

    in_a_server(work)


@pytest.mark.parametrize("kind", KINDS)
def test_each_problem_has_words(kind: str) -> None:
    assert len(str(TalkProblem(kind, name="n", base="b", needed="1", free="0", reason="r", file="f"))) > 15


def test_a_killed_process_is_one_clear_message_and_the_next_question_starts_it_anew(
    state: AppState, tiny_model: Path
) -> None:
    talk = state.talks.open(subject(state, make_run(state.workspace.root, "my-run", tiny_model, kind="whole")))

    async def work() -> None:
        await talk.ready()
        model = state.talks._models[talk.subject.name][2]
        os.kill(process_of(state.talks, talk.subject.name), signal.SIGSTOP)  # or it may have said all by then
        asked = asyncio.create_task(answer(talk, "Say red.", **LONG))
        await until(lambda: model.num_asked == 1)
        os.kill(process_of(state.talks, talk.subject.name), signal.SIGKILL)
        with pytest.raises(TalkProblem, match="most likely because memory ran out") as ended:
            await asked
        assert ended.value.kind == "killed"
        assert (await answer(talk, "Say red.", max_new_tokens=4)).num_tokens > 0
        with pytest.raises(TalkProblem, match="at most"):
            await answer(talk, "word " * 5000)
        state.talks.close()

    in_a_server(work)


def test_what_goes_wrong_unexpectedly_is_logged_with_its_place(
    state: AppState, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.start_logging()
    talk = state.talks.open(subject(state, make_run(state.workspace.root, "my-run", tiny_model, kind="whole")))

    async def work() -> None:
        await answer(talk, "Say red.", max_new_tokens=1)
        process = state.talks._models[talk.subject.name][2]
        with pytest.raises(TalkProblem, match="the answer failed"):
            async for _ in process.ask("answer", max_new_tokens="many"):
                pass
        said = capsys.readouterr().err
        assert "gave no answer" in said and "Traceback" in said and "talk.py" in said
        state.talks.close()

    in_a_server(work)


def test_a_model_that_nobody_asks_is_put_away_and_a_new_result_is_loaded(state: AppState, tiny_model: Path) -> None:
    talks = Talks(state.tokens, idle_seconds=0.5)
    found = subject(state, make_run(state.workspace.root, "my-run", tiny_model))

    async def work() -> None:
        await answer(talks.open(found), "Say red.", max_new_tokens=2)
        pid = process_of(talks, found.name)
        await until(lambda: not is_alive(pid))
        assert talks.loaded() == []
        talks._idle_seconds = 600.0  # the next one stays, however long we take to look at it
        conversation = Conversation(talks, found)
        conversation.ask("Say blue.")
        await until(lambda: conversation.turns[0].is_over)
        weights = Path(found.name) / "adapter_model.safetensors"
        before = talks._models[found.name][2]
        os.utime(weights)
        await answer(talks.open(found), "Say red.", max_new_tokens=2)
        assert talks._models[found.name][2] is not before
        talks.close()

    in_a_server(work)


def test_a_model_that_took_long_to_load_isnt_put_away_at_once(state: AppState, tiny_model: Path) -> None:
    found = subject(state, make_run(state.workspace.root, "my-run", tiny_model))

    async def work() -> None:
        loading = asyncio.create_task(state.talks.open(found).ready())
        await until(lambda: found.name in state.talks._models)
        state.talks._models[found.name][2].last_used = asked = time.monotonic() - 3600
        await loading
        assert state.talks._models[found.name][2].last_used > asked + 3000
        state.talks.close()

    in_a_server(work)


async def stopped_early(conversation: Conversation, text: str) -> Turn:
    """Ask, and stop the answer once it has begun."""
    conversation.ask(text)
    turn = conversation.turns[-1]
    await until(lambda: turn.is_over or len(turn.tuned.text) > 10)
    conversation.stop()
    await until(lambda: turn.is_over)
    return turn


def test_a_conversation_goes_on_without_its_page(state: AppState, tiny_model: Path) -> None:
    found = subject(state, make_run(state.workspace.root, "my-run", tiny_model))
    kept = state.talks.kept

    async def work() -> None:
        mine = kept.conversation("a browser", found)
        changes: list[int] = []
        forget = mine.watch(lambda: changes.append(1))
        mine.set(**SAMPLED)
        mine.ask("Say red.")
        mine.ask("too early")  # one question at a time
        assert mine.is_busy
        await until(lambda: bool(mine.turns[0].tuned.text))
        forget()
        assert kept.conversation("a browser", found) is mine
        assert kept.conversation("another browser", found).turns == []
        await until(lambda: mine.turns[0].is_over)
        first = mine.turns[0].tuned.text
        assert mine.turns[0].base is not None and mine.turns[0].base.text != first
        assert changes
        mine.ask_again()
        await until(lambda: mine.turns[0].is_over)
        assert (len(mine.turns), mine.turns[0].tuned.text) == (1, first)
        mine.set(compares=False, **LONG)
        for _ in range(5):  # a model as small as ours may have said all before it is stopped
            last = await stopped_early(mine, "Say blue.")
            if last.tuned.reason == "stopped":
                break
        assert (last.tuned.reason, last.base) == ("stopped", None)
        assert last.tuned.text
        state.talks.close()

    in_a_server(work)


def test_a_reward_model_says_which_answer_it_likes_best(state: AppState, tiny_model: Path) -> None:
    found = subject(state, make_run(state.workspace.root, "judge", tiny_model, kind="reward"))

    async def work() -> None:
        scoring = Scoring(state.talks, found, "Say red.", ["red red red", "", "blue"])
        scoring.score()
        await until(lambda: not scoring.is_busy)
        assert scoring.problem is None
        first, empty, third = scoring.scores
        assert first is not None and third is not None and empty is None
        assert scoring.best == (0 if first > third else 2)
        with pytest.raises(TalkProblem, match="gives scores"):
            await answer(state.talks.open(found), "hello")
        state.talks.close()

    in_a_server(work)


def test_too_little_memory_is_said_and_idle_models_make_room(
    state: AppState, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = subject(state, make_run(state.workspace.root, "first", tiny_model, kind="whole"))
    second = subject(state, make_run(state.workspace.root, "second", tiny_model, kind="whole"))

    async def work() -> None:
        await answer(state.talks.open(first), "Say red.", max_new_tokens=2)
        monkeypatch.setattr("autotrain.app.talks.talks.free_bytes", lambda: 10_000_000)
        await answer(state.talks.open(second), "Say red.", max_new_tokens=2)
        assert [one.label for one in state.talks.loaded()] == ["second"]
        state.talks.put_away(second.name)
        with pytest.raises(TalkProblem, match=r"needs about 0\.7 GB, and 0\.0 GB are free"):
            await answer(state.talks.open(first), "Say red.")

    in_a_server(work)


@pytest.mark.parametrize(
    ("stage", "kind", "expected"), [("training", "adapter", "waiting"), ("interrupted", "nothing", "unfinished")]
)
def test_a_run_without_a_result_says_why(
    state: AppState, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, stage: str, kind: str, expected: str
) -> None:
    number = make_run(state.workspace.root, "my-run", tiny_model, kind=kind, stage=stage)
    with pytest.raises(TalkProblem) as refused:
        subject(state, number)
    assert refused.value.kind == expected
    assert "my-run" in str(refused.value)


def test_a_base_that_is_gone_is_named(state: AppState, tiny_model: Path, tmp_path: Path) -> None:
    base = tmp_path / "bases" / "mine"
    base.parent.mkdir()
    os.symlink(tiny_model, base)
    adapter = make_run(state.workspace.root, "adapter", base)
    whole = make_run(state.workspace.root, "whole", base, kind="whole")
    assert subject(state, whole).base is not None
    base.unlink()
    with pytest.raises(TalkProblem, match=f"{base}.*can't be found"):
        subject(state, adapter)
    found = subject(state, whole)
    assert (found.base, found.missing_base) == (None, str(base))


def test_the_api_streams_an_answer_and_refuses_what_cannot_be(state: AppState, tiny_model: Path, served: str) -> None:
    import httpx

    number = make_run(state.workspace.root, "my-run", tiny_model)
    judge = make_run(state.workspace.root, "judge", tiny_model, kind="reward")
    asked = {"run": number, "messages": [{"role": "user", "content": "Say 你好 😀"}], **SAMPLED}
    with httpx.Client(base_url=served, timeout=120) as client:
        with client.stream("POST", "/api/talks/answer", json=asked) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            events = [block.split("\n") for block in "".join(stream.iter_text()).strip().split("\n\n")]
        names = [event[0].removeprefix("event: ") for event in events]
        said = [json.loads(event[1].removeprefix("data: ")) for event in events]
        assert names[-1] == "end" and set(names[:-1]) == {"piece"}
        assert "".join(one["text"] for one in said[:-1]).strip() == said[-1]["text"]
        assert client.get("/api/talks").json() == [{"name": "my-run", "run": number}]
        for wrong, status in (
            ({**asked, "run": judge}, 409),
            ({**asked, "run": 999}, 404),
            ({**asked, "run": None}, 422),
            ({**asked, "run": None, "model": str(state.workspace.root / "my-run")}, 409),  # a path is no name
            ({**asked, "temperature": -1}, 422),
            ({**asked, "messages": []}, 422),
        ):
            answered = client.post("/api/talks/answer", json=wrong)
            assert (answered.status_code, bool(answered.json()["detail"])) == (status, True), answered.text
        scored = client.post("/api/talks/score", json={"run": judge, "rows": [{"prompt": "a", "answer": "b"}]})
        assert isinstance(scored.json()["rows"][0]["score"], float)
