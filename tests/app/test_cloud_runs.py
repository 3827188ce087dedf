"""Runs in the cloud, asked for through the API: each with its own person's token, seen and stopped from here."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient
from files_here import files_with
from hub_double import HubDouble

from autotrain.app import cloud_watch
from autotrain.app.settings import Settings
from autotrain.app.state import AppState
from autotrain.backends import trial
from autotrain.cloud.report import FINISHED, End, discussion_text, discussion_title, end_line
from autotrain.hub.client import open_api

SECONDS = 60
NILS, ANNA = "hf_nilssecrettoken", "hf_annasecrettoken"


@pytest.fixture(autouse=True)
def people(hub: HubDouble, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people with tokens of their own, a model, and data in the workspace."""
    monkeypatch.setattr(cloud_watch, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(trial, "worker_command", lambda *_: [sys.executable, "-S", "-c", ""])  # it finds nothing wrong
    hub.add_user("nils", token=NILS)
    hub.add_user("anna", token=ANNA)
    hub.add_repo("model", "org/base", {"config.json": "{}", "model.safetensors": "x"})
    (settings.workspace / "data").mkdir()
    (settings.workspace / "data" / "train.jsonl").write_text('{"text": "a row"}\n')


def asked(name: str, **said: Any) -> dict[str, Any]:
    request = {
        "project_name": name,
        "task": "llm:sft",
        "base_model": "org/base",
        "hardware": "spaces-t4-small",
        "column_mapping": {"text_column": "text"},
        "hub_dataset": "data",
    }
    return {**request, **said}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def wait(until: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while not (found := until()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@pytest.fixture
def created(api: TestClient, hub: HubDouble) -> Iterator[str]:
    answer = api.post("/api/create_project", json=asked("run"), headers=bearer(NILS))
    assert answer.status_code == 200, answer.text
    yield answer.json()["job_id"]


def test_a_space_is_made_and_its_id_is_the_job(created: str, hub: HubDouble, api: TestClient):
    assert created == "nils/autotrain-run"
    assert hub.spaces[created].hardware == "t4-small"
    run = api.get("/api/runs/1").json()
    assert (run["name"], run["backend"]) == ("run", "spaces-t4-small") and created in run["url"]


def test_its_course_and_log_are_seen_here_and_it_can_be_stopped(created: str, hub: HubDouble, api: TestClient):
    space = hub.spaces[created]
    wait(lambda: api.get("/api/runs/1").json()["stage"] == "starting")
    space.set_stage("RUNNING")
    space.log("step 3/12  loss 1.5000")
    run = wait(lambda: (run := api.get("/api/runs/1").json())["step"] == 3 and run)
    assert (run["stage"], run["total_steps"], run["last_loss"]) == ("running", 12, 1.5)
    wait(lambda: "step 3/12" in str(api.get("/api/runs/1/log").json()["lines"]))
    assert "step 3/12" in api.post("/api/logs", json={"jid": created}, headers=bearer(NILS)).json()["logs"]
    assert api.post("/api/stop_training", json={"jid": created}).json()["success"] is True
    assert wait(lambda: space.stage == "PAUSED")
    assert wait(lambda: not api.get("/api/runs/1").json()["is_live"])


def test_what_is_trained_in_the_cloud_is_pushed_without_being_asked(created: str, hub: HubDouble):
    """Or the model is lost with the machine, as AutoTrain's API lost it (DEFECT-7)."""
    given = wait(lambda: hub.spaces[created].environment().get("PARAMS"))
    assert json.loads(given)["push_to_hub"] is True


def test_two_people_at_once_each_with_their_own_token(api: TestClient, hub: HubDouble, state: AppState):
    def ask(name: str, token: str) -> dict[str, Any]:
        return api.post("/api/create_project", json=asked(name), headers=bearer(token)).json()

    with ThreadPoolExecutor() as threads:
        asked_for = [threads.submit(ask, "of-nils", NILS), threads.submit(ask, "of-anna", ANNA)]
        answers = [one.result(SECONDS) for one in asked_for]
    assert [answer.get("job_id", answer) for answer in answers] == ["nils/autotrain-of-nils", "anna/autotrain-of-anna"]
    assert hub.spaces["nils/autotrain-of-nils"].secrets["HF_TOKEN"] == NILS
    assert hub.spaces["anna/autotrain-of-anna"].secrets["HF_TOKEN"] == ANNA
    for token in (NILS, ANNA):
        assert files_with(state.settings.home, token.encode()) == []


def test_without_a_token_the_answer_says_what_to_do(api: TestClient):
    answer = api.post("/api/create_project", json=asked("run"))
    assert answer.status_code == 422 and "token" in answer.json()["detail"] and not answer.json()["success"]
    assert api.get("/api/runs/1").json()["stage"] == "failed"


def test_a_run_in_the_cloud_that_was_stopped_goes_on_there(created: str, hub: HubDouble, api: TestClient):
    space = hub.spaces[created]
    space.set_stage("RUNNING")
    api.post("/api/runs/1/stop")
    wait(lambda: not api.get("/api/runs/1").json()["is_live"])
    number = api.post("/api/runs/1/resume").json()["number"]
    wait(lambda: api.get(f"/api/runs/{number}").json()["url"])
    assert space.environment()["AUTOTRAIN_RESUME"] and space.secrets["HF_TOKEN"] == NILS
    assert api.get("/api/runs").json()["total"] == 1


def test_one_sees_that_it_is_done(created: str, hub: HubDouble, api: TestClient):
    """A paused Space told nothing about its run (#670, #276)."""
    space = hub.spaces[created]
    run = wait(lambda: space.environment().get("AUTOTRAIN_RUN"))
    space.set_stage("RUNNING")
    end = End(FINISHED, 0, url="https://hub/nils/run")
    space.log(end_line(end))
    open_api(NILS).create_discussion(
        created, discussion_title(end, run), description=discussion_text(end, "run"), repo_type="space"
    )
    space.set_stage("PAUSED")
    assert wait(lambda: (one := api.get("/api/runs/1").json())["stage"] == "finished" and one)["is_live"] is False
    assert "event: end" in api.get("/api/runs/1/events").text


def test_a_model_that_this_token_may_not_have_is_told_before_anything_is_made(api: TestClient, hub: HubDouble):
    """401 after the Space had been paid for (#365)."""
    hub.add_repo("model", "org/gated", {"config.json": "{}", "model.safetensors": "x"}, gated="manual")
    answer = api.post("/api/create_project", json=asked("run", base_model="org/gated"), headers=bearer(NILS))
    assert answer.status_code == 422 and "gated" in answer.json()["detail"]
    assert hub.spaces == {}
