"""The workers behind previews: they stay for the next question, start anew after a fall, and go when nobody asks."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from autotrain.app import previews as module
from autotrain.app.drafts.models import check_model, search_hub
from autotrain.app.previews import Previews
from autotrain.app.workspace import Workspace
from autotrain.errors import AutoTrainError
from autotrain.trainers.clm.params import LLMTrainingParams

CHAT = '{"messages": [{"role": "user", "content": "What is red?"}, {"role": "assistant", "content": "A colour."}]}\n'
TOKEN = SecretStr("hf_nilsnilsnils")


@pytest.fixture
def params(tmp_path: Path, tiny_model: Path) -> LLMTrainingParams:
    (tmp_path / "train.jsonl").write_text(CHAT * 5)
    return LLMTrainingParams(model=str(tiny_model), trainer="sft", data_path=str(tmp_path), project_name="x")


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]


def with_previews(
    folder: Path, ask: Callable[[Previews], Awaitable[Any]], token: Callable[[], SecretStr | None] = lambda: None
) -> Any:
    async def whole() -> Any:
        previews = Previews(Workspace(folder), token)
        try:
            return await ask(previews)
        finally:
            previews.close()

    return asyncio.run(whole())


def process_of(previews: Previews) -> int:
    process = previews._first._process
    assert process is not None
    return process.pid


def test_one_worker_answers_several_questions_and_ends_with_the_page(tmp_path: Path, params: LLMTrainingParams):
    async def ask(previews: Previews) -> int:
        await previews.warm_up()
        first = process_of(previews)
        assert len((await previews.preview(params, 2))["rows"]) == 2
        with pytest.raises(AutoTrainError, match="no file or folder"):
            await previews.measure(params.model_copy(update={"data_path": "./none"}))
        assert (await previews.preview(params, 3))["tokens"][0]["num_trained"] > 0
        assert process_of(previews) == first
        return first

    process = with_previews(tmp_path, ask)
    for _ in range(100):
        if not alive(process):
            return
        asyncio.run(asyncio.sleep(0.1))
    raise AssertionError("the worker outlives the page")


def test_a_run_that_begins_gets_the_memory_of_idle_workers(tmp_path: Path, params: LLMTrainingParams):
    async def ask(previews: Previews) -> None:
        await previews.warm_up()
        asked = asyncio.create_task(previews.preview(params, 1))
        await asyncio.sleep(0)
        previews.release()  # one that is at work stays
        assert (await asked)["problem"] is None
        previews.release()
        assert not previews._first.is_running

    with_previews(tmp_path, ask)


def test_a_worker_that_fell_is_replaced(tmp_path: Path, params: LLMTrainingParams):
    async def ask(previews: Previews) -> None:
        await previews.warm_up()
        process = previews._first._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)  # so that it falls while it is asked, neither before nor after
        asked = asyncio.create_task(previews.preview(params))
        await asyncio.sleep(0)
        process.kill()
        with pytest.raises(AutoTrainError, match="worker that reads the data"):
            await asked
        assert (await previews.preview(params))["problem"] is None

    with_previews(tmp_path, ask)


def test_a_question_that_nobody_waits_for_doesnt_spoil_the_next_answer(tmp_path: Path, params: LLMTrainingParams):
    async def ask(previews: Previews) -> None:
        await previews.warm_up()
        asked = asyncio.create_task(previews.preview(params, 1))
        await asyncio.sleep(0)  # it has been asked, and nothing more
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert len((await previews.preview(params, 2))["rows"]) == 2

    with_previews(tmp_path, ask)


def test_a_worker_that_nobody_asks_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.4)

    async def ask(previews: Previews) -> None:
        await previews.warm_up()
        previews.start()
        process = process_of(previews)
        for _ in range(100):
            await asyncio.sleep(0.1)
            if not alive(process):
                return
        raise AssertionError("it stays")

    with_previews(tmp_path, ask)


def test_data_and_models_of_the_hub_are_those_that_the_token_may_see(hub: Any, tmp_path: Path, params: LLMTrainingParams):
    hub.add_user("nils", token=TOKEN.get_secret_value())
    rows = {"data/train-0.jsonl": CHAT.encode() * 4, "data/test-0.jsonl": CHAT.encode()}
    hub.add_repo("dataset", "nils/faq", files=rows, private=True)
    hub.add_repo("model", "nils/secret-writer", files={"config.json": b"{}", "model.safetensors": b"x"}, private=True)
    on_hub = params.model_copy(update={"data_path": "nils/faq"})

    async def ask(previews: Previews) -> tuple[list[str], dict[str, Any]]:
        return await previews.splits("nils/faq"), await previews.preview(on_hub)

    splits, seen = with_previews(tmp_path, ask, lambda: TOKEN)
    assert splits == ["train", "test"]
    assert seen["problem"] is None and len(seen["rows"]) == 4
    assert TOKEN.get_secret_value() not in json.dumps(seen)
    with pytest.raises(AutoTrainError, match="nils/faq"):
        with_previews(tmp_path, ask)
    assert [one.name for one in asyncio.run(search_hub("secret", TOKEN))] == ["nils/secret-writer"]
    assert asyncio.run(search_hub("secret", None)) == []
    asyncio.run(check_model("nils/secret-writer", TOKEN))
    with pytest.raises(AutoTrainError, match="secret-writer"):
        asyncio.run(check_model("nils/secret-writer", None))
