"""What people ran into with AutoTrain's page and API on the server's side, and what would be worse: each held by a test.

The numbers are those of its issues and of the defects in the survey of it.  Those of create_project are in test_contract.py,
those of stopping and of secrets in test_queue.py.
"""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hub_double import HubDouble

from autotrain import log
from autotrain.app.settings import Settings
from autotrain.app.state import AppState, build_state
from autotrain.errors import RunFolderError
from autotrain.runs import register
from autotrain.trainers.clm.params import LLMTrainingParams

SECONDS = 60
DEAD = 2**22 - 3


@pytest.fixture(autouse=True)
def _workers(worker_double: None) -> None:
    """For all tests here."""


def config(name: str, **params: Any) -> dict[str, Any]:
    return {"task": "llm-sft", "base_model": "acme/tiny", "project_name": name, "data": {"path": "data"}, "params": params}


def wait_for_end(api: TestClient, number: int) -> dict[str, Any]:
    end = time.monotonic() + SECONDS
    while (run := api.get(f"/api/runs/{number}").json())["is_live"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    return run


def test_runs_are_started_and_watched_without_an_account_and_without_asking_the_hub(api: TestClient, hub: HubDouble):
    """401 without HF_TOKEN (#726, #763, #279); each poll asked the hub, which then refused all (429: #873, #936)."""
    number = api.post("/api/runs", json={"config": config("a")}).json()["number"]
    for _ in range(20):
        assert api.get("/api/runs").status_code == 200
        assert api.get(f"/api/runs/{number}/log").status_code == 200
    assert wait_for_end(api, number)["stage"] == "finished"
    assert hub.requests == []


def test_what_is_refused_isnt_running(api: TestClient):
    """`HTTP 400, check the logs`, and the process ran for hours (#698)."""
    for wrong in (config("a", lr=-1), config("b") | {"backend": "nowhere"}, config("c") | {"data": {"path": "/etc"}}):
        assert api.post("/api/runs", json={"config": wrong}).status_code == 422
    assert api.get("/api/runs").json()["total"] == 0


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        {"config": None},
        {"config": {}, "params": {}},
        {"config": ""},
        {"config": "- a\n- b"},
        {"config": "a: [b"},
        {"config": "<html>"},
        {"config": {"task": ["llm"]}},
        {"config": {"task": "llm-sft", "base_model": {}, "project_name": 7, "data": []}},
        {"config": config("a", block_size=[]) | {"hub": "me"}},
        {"config": config("../../etc")},
        {"config": config("a" * 500)},
        {"config": config("a", model="\x00")},
        {"config": config("a") | {"data": {"path": "\x00"}}},
        {"params": {"project_name": None}},
        {"params": {"data_path": 1e400}},
        {"params": {}, "backend": {}},
    ],
)
def test_no_request_however_odd_is_an_internal_error(api: TestClient, body: Any):
    """500 on Start (#894, #361), a template that was taken for a token (#862)."""
    for path in ("/api/runs", "/api/config/validate", "/api/create_project", "/api/logs", "/api/stop_training"):
        answer = api.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answer.status_code < 500, (path, answer.text)
        assert path.endswith("validate") or answer.status_code in (404, 409, 422), (path, answer.text)
    assert api.get("/api/runs").json()["total"] == 0


@pytest.mark.parametrize("number", ["-1", "0", "9" * 30, str(2**63), "1.5", "x", "%00", "..%2f..%2fetc%2fpasswd"])
def test_no_number_however_odd_is_an_internal_error(api: TestClient, number: str):
    for method, path in (("GET", ""), ("GET", "/metrics"), ("GET", "/log/file"), ("POST", "/stop"), ("DELETE", "")):
        assert api.request(method, f"/api/runs/{number}{path}").status_code in (404, 405, 422), (method, path)


@pytest.mark.parametrize(
    "query",
    ["metrics?points=1", "metrics?first=nan", "metrics?last=inf", "metrics/since?position=99999999999999999999",
     "log?first=-5", "log?first=99999999999999999999", "log/find?text=%00", "left-out?offset=99999999999999999999",
     "events?streams="],
)  # fmt: skip
def test_no_question_however_odd_is_an_internal_error(api: TestClient, query: str):
    number = api.post("/api/runs", json={"config": config("a")}).json()["number"]
    wait_for_end(api, number)
    assert api.get(f"/api/runs/{number}/{query}").status_code in (200, 422)


def test_the_history_stays(state: AppState, settings: Settings, client_of: Any):
    """Jobs were two numbers in a file, gone when they ended (#761)."""
    first = client_of(state)
    number = first.post("/api/runs", json={"config": config("a")}).json()["number"]
    wait_for_end(first, number)
    again = client_of(build_state(settings))
    assert [run["name"] for run in again.get("/api/runs").json()["runs"]] == ["a"]


def test_a_database_of_autotrains_in_the_folder_is_no_business_of_ours(api: TestClient, settings: Settings):
    (settings.workspace / "autotrain.db").write_bytes(b"no database")
    number = api.post("/api/runs", json={"config": config("a")}).json()["number"]
    assert wait_for_end(api, number)["stage"] == "finished"
    assert (settings.workspace / "autotrain.db").read_bytes() == b"no database"


def test_a_process_that_got_the_number_of_an_old_worker_blocks_nothing(api: TestClient, settings: Settings):
    """`another job is already running`, for ever (DEFECT-20)."""
    import sqlite3

    from autotrain.home import home

    register("old", settings.workspace / "old", "local", os.getpid())
    with sqlite3.connect(home() / "runs.db") as database:
        database.execute("update runs set born = 'an-earlier-boot:1'")
    number = api.post("/api/runs", json={"config": config("a")}).json()["number"]
    assert wait_for_end(api, number)["stage"] == "finished"


def test_names_that_the_old_page_offered_and_no_library_knew_are_understood(api: TestClient):
    """Optimizers adamw and adam, the schedule cosine_warmup (6.3)."""
    said = config("a", optimizer="adamw", scheduler="cosine_warmup", mixed_precision="none", quantization="none")
    params = api.post("/api/config/validate", json={"config": said}).json()["params"]
    assert (params["optimizer"], params["scheduler"]) == ("adamw_torch", "cosine") and params["quantization"] is None


def test_a_run_that_goes_on_isnt_started_again_in_its_folder(state: AppState, api: TestClient):
    """Not even before its worker has got there."""
    number = api.post("/api/runs", json={"config": config("a", epochs=500)}).json()["number"]
    end = time.monotonic() + SECONDS
    while api.get(f"/api/runs/{number}").json()["stage"] == "waiting":
        assert time.monotonic() < end
    params = LLMTrainingParams(model="acme/tiny", project_name="a", data_path="data", trainer="sft")
    with pytest.raises(RunFolderError, match=r"goes on|waiting to begin"):
        state.queue.submit(params, "local", overwrite=True)
    api.post(f"/api/runs/{number}/stop", json={"now": True})
    wait_for_end(api, number)


def test_no_folder_outside_the_workspace_is_deleted(api: TestClient, tmp_path: Path):
    """A run of the command line is listed, and its folder is its owner's."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "state.json").write_text(
        f'{{"stage": "finished", "step": 1, "total_steps": 1, "pid": {DEAD}, "heartbeat": 1, "message": ""}}'
    )
    number = register("elsewhere", elsewhere, "local", DEAD)
    answer = api.delete(f"/api/runs/{number}", params={"with_folder": True})
    assert answer.status_code == 409 and "outside" in answer.json()["detail"]
    assert api.delete(f"/api/runs/{number}").status_code == 204 and elsewhere.is_dir()


def test_a_secret_that_a_worker_printed_isnt_served(api: TestClient, settings: Settings):
    log.hide_secret("open-sesame")
    number = api.post("/api/runs", json={"config": config("a")}).json()["number"]
    wait_for_end(api, number)
    with (settings.workspace / "a" / "train.log").open("a") as file:
        file.write("token hf_abcdefghijk, password open-sesame\n")
    for path in ("log?count=1", "log/file", "events?streams=log"):
        text = api.get(f"/api/runs/{number}/{path}").text
        assert "hf_****" in text and "hf_abc" not in text and "sesame" not in text
    logs = api.post("/api/logs", json={"jid": number}).json()["logs"]
    assert "hf_****" in logs and "sesame" not in logs


def test_a_project_may_have_a_name_in_any_script(api: TestClient):
    number = api.post("/api/runs", json={"config": config("模型-1")}).json()["number"]
    assert wait_for_end(api, number)["stage"] == "finished"
    assert "%E6%A8%A1" in api.get(f"/api/runs/{number}/log/file").headers["content-disposition"]


def test_the_queue_goes_on_after_a_stumble(state: AppState, api: TestClient, monkeypatch: pytest.MonkeyPatch):
    from autotrain.app import queue

    stumbles: list[int] = []

    def waiting(known: Any = None) -> Any:
        if not stumbles:
            stumbles.append(1)
            raise ValueError("a row that nobody expected")
        return real(known)

    real = queue.waiting
    monkeypatch.setattr(queue, "waiting", waiting)
    number = api.post("/api/runs", json={"config": config("a")}).json()["number"]
    assert wait_for_end(api, number)["stage"] == "finished" and stumbles


def test_a_second_answer_to_stop_is_no_fault(state: AppState, api: TestClient):
    number = api.post("/api/runs", json={"config": config("a", epochs=500)}).json()["number"]

    async def stop_twice() -> None:
        await asyncio.gather(state.queue.stop(number), state.queue.stop(number))

    while api.get(f"/api/runs/{number}").json()["step"] < 2:
        time.sleep(0.02)
    asyncio.run(stop_twice())
    assert wait_for_end(api, number)["stage"] == "interrupted"
    assert api.post(f"/api/runs/{number}/stop").status_code == 200


def test_on_a_space_no_worker_inherits_the_spaces_own_token(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """Each visitor acts with the token of their own sign-in, and a run without one with none."""
    from dataclasses import replace

    from autotrain.app.serve import serve
    from autotrain.errors import ConfigError

    monkeypatch.setenv("HF_TOKEN", "hf_thespacesowntoken")
    with pytest.raises(ConfigError, match="sign-in"):  # not a Space really: it begins, and goes no further
        serve(replace(settings, on_space=True, port=0), may_move=False)
    assert "HF_TOKEN" not in os.environ
