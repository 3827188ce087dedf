"""AutoTrain's own API and client: the requests of its callers, and the faults that these ran into."""

import json
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from autotrain import __version__, client
from autotrain.app.settings import Settings
from autotrain.client import DEFAULT_HOST, Client, RequestRefused
from autotrain.errors import ConfigError, DeviceError

SECONDS = 60


@pytest.fixture(autouse=True)
def _workers(worker_double: None) -> None:
    """For all tests here."""


def request(name: str, **said: Any) -> dict[str, Any]:
    asked = {
        "project_name": name,
        "task": "llm:sft",
        "base_model": "acme/tiny",
        "hardware": "local",
        "params": {"epochs": 1},
        "username": "me",
        "column_mapping": {"text_column": "text"},
        "hub_dataset": "data",
        "train_split": "train",
    }
    return {**asked, **said}


def kept(settings: Settings, name: str) -> dict[str, Any]:
    """The parameters that a run has come to."""
    file = settings.workspace / name / "training_params.json"
    end = time.monotonic() + SECONDS
    while not file.is_file() and time.monotonic() < end:
        time.sleep(0.02)
    return json.loads(file.read_text())


def test_a_project_is_created_on_this_machine(api: TestClient, settings: Settings):
    """`hardware: local` was commented out; a run of one's own machine couldn't be started by API (#637)."""
    answer = api.post("/api/create_project", json=request("a")).json()
    assert answer == {"message": "Project created", "job_id": "1", "success": True}
    values = kept(settings, "a")
    assert (values["model"], values["trainer"], values["data_path"], values["epochs"]) == ("acme/tiny", "sft", "data", 1)


@pytest.mark.parametrize(
    ("task", "trainer"),
    [("llm:generic", "default"), ("llm:dpo", "dpo"), ("llm:orpo", "orpo"), ("llm:reward", "reward"), ("llm-sft", "sft")],
)
def test_each_task_becomes_its_trainer(api: TestClient, settings: Settings, task: str, trainer: str):
    """`llm:generic` made a trainer that didn't exist (DEFECT-7)."""
    columns = {"text_column": "chosen", "rejected_text_column": "rejected", "prompt_text_column": "prompt"}
    columns = {"text_column": "text"} if trainer in ("sft", "default") else columns
    assert api.post("/api/create_project", json=request("a", task=task, column_mapping=columns)).status_code == 200
    assert kept(settings, "a")["trainer"] == trainer


def test_valid_split_and_every_parameter_reach_the_run(api: TestClient, settings: Settings):
    """valid_split was dropped, and push_to_hub and log couldn't be set (DEFECT-7)."""
    params = {"peft": True, "lora_r": 4, "lr": 1e-3, "log": "tensorboard", "push_to_hub": False, "seed": 7}
    api.post("/api/create_project", json=request("a", valid_split="valid", params=params))
    values = kept(settings, "a")
    assert values["valid_split"] == "valid" and {name: values[name] for name in params} == params


def test_a_local_run_isnt_pushed_unless_asked_for(api: TestClient, settings: Settings):
    api.post("/api/create_project", json=request("a", params={}))
    assert kept(settings, "a")["push_to_hub"] is False


def test_one_request_leaves_no_setting_behind_for_the_next(api: TestClient, settings: Settings):
    """The parameters' defaults were one dictionary that each request changed (DEFECT-7)."""
    for name, params in (("a", {"lr": 0.5, "epochs": 1}), ("b", {}), ("c", {"batch_size": 9})):
        api.post("/api/create_project", json=request(name, params=params))
    assert [kept(settings, name)["lr"] for name in "abc"] == [0.5, 3e-5, 3e-5]
    assert [kept(settings, name)["batch_size"] for name in "abc"] == [2, 2, 9]


def test_an_unknown_parameter_is_refused_and_not_dropped(api: TestClient):
    answer = api.post("/api/create_project", json=request("a", params={"epoch": 1}))
    assert answer.status_code == 422
    assert answer.json()["success"] is False and "did you mean 'epochs'" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("task", "columns", "missing"),
    [
        ("llm:sft", {}, "text_column"),
        ("llm:reward", {"text_column": "chosen"}, "rejected_text_column"),
        ("llm:dpo", {"prompt_text_column": "p", "text_column": "chosen"}, "rejected_text_column"),
    ],
)
def test_columns_that_a_task_needs_are_asked_for(api: TestClient, task: str, columns: dict[str, str], missing: str):
    answer = api.post("/api/create_project", json=request("a", task=task, column_mapping=columns))
    assert answer.status_code == 422 and missing in answer.json()["detail"]


def test_the_prompt_column_under_the_name_that_autotrains_client_sends(api: TestClient, settings: Settings):
    """Its default was `prompt_column`, which its server didn't know (DEFECT-10)."""
    columns = {"prompt_column": "question", "text_column": "chosen", "rejected_text_column": "rejected"}
    assert api.post("/api/create_project", json=request("a", task="llm:dpo", column_mapping=columns)).status_code == 200
    assert kept(settings, "a")["prompt_text_column"] == "question"


def test_a_second_project_waits_instead_of_being_refused(api: TestClient):
    """There was one job at a time, and a process number used again blocked all others for ever."""
    api.post("/api/create_project", json=request("a", params={"epochs": 500}))
    assert api.post("/api/create_project", json=request("b")).json()["job_id"] == "2"
    assert api.get("/api/runs/2").json()["stage"] == "waiting"
    for job in ("2", "1"):
        assert api.post("/api/stop_training", json={"jid": job}).json()["success"] is True


def test_logs_and_stop_by_the_id_that_create_gave(api: TestClient, settings: Settings):
    job = api.post("/api/create_project", json=request("a", params={"epochs": 500})).json()["job_id"]
    kept(settings, "a")
    end = time.monotonic() + SECONDS
    while "step 2/5000" not in (answer := api.post("/api/logs", json={"jid": job}).json())["logs"]:
        assert time.monotonic() < end
    assert answer["success"] is True and answer["message"] == "Logs fetched successfully"
    assert api.post(f"/api/stop_training/{job}", json={"jid": job}).json()["success"] is True  # as AutoTrain's client asks
    while (run := api.get(f"/api/runs/{job}").json())["is_live"]:
        time.sleep(0.02)
    assert run["stage"] == "interrupted"


def test_a_job_that_isnt_there(api: TestClient):
    for call in ("logs", "stop_training"):
        answer = api.post(f"/api/{call}", json={"jid": "me/autotrain-none"})
        assert answer.status_code == 404 and answer.json()["success"] is False


def test_the_version(api: TestClient):
    assert api.get("/api/version").json() == {"version": __version__}


def test_the_hubs_token_is_for_that_run_alone(api: TestClient, settings: Settings):
    for name, header in (
        ("a", {"Authorization": "Bearer hf_thefirstone1"}),
        ("b", {"X-Hub-Token": "hf_thesecond12"}),
        ("c", {}),
    ):
        assert api.post("/api/create_project", json=request(name), headers=header).status_code == 200
    tokens = []
    for name in "abc":
        kept(settings, name)
        tokens.append(json.loads((settings.workspace / name / "run.json").read_text())["HF_TOKEN"])
    assert tokens == ["hf_thefirstone1", "hf_thesecond12", None]


# The client


def test_what_the_user_gives_the_client_reaches_the_run(served: str, settings: Settings):
    """It kept only the defaults that the user hadn't set, and threw away what he had (DEFECT-10)."""
    one = Client(host=served + "/", username="me")
    job = one.create("a", "llm:sft", "acme/tiny", "local", "data", "train", params={"epochs": 1, "lr": 0.25})
    values = kept(settings, "a")
    assert (values["epochs"], values["lr"]) == (1, 0.25)
    assert (values["peft"], values["mixed_precision"], values["merge_adapter"]) == (True, "auto", True)
    assert job["success"] and isinstance(one.get_logs(job["job_id"])["logs"], str)
    assert one.stop_training(job["job_id"])["success"] and one.version() == __version__


@pytest.mark.parametrize("task", ["llm:dpo", "llm:orpo", "llm:reward", "llm:generic", "llm:default"])
def test_the_clients_own_columns_are_those_that_the_server_wants(served: str, settings: Settings, task: str):
    """DPO's and ORPO's were never accepted, and `llm:default` was misspelt (DEFECT-10)."""
    assert Client(host=served).create("a", task, "acme/tiny", "local", "data")["success"]
    assert kept(settings, "a")["text_column"] == client.DEFAULT_COLUMNS[task]["text_column"]


def test_the_client_says_what_is_wrong(served: str):
    one = Client(host=served)
    with pytest.raises(ConfigError, match="did you mean 'llm:sft'"):
        one.create("a", "llm:sfd", "acme/tiny", "local", "data")
    with pytest.raises(RequestRefused, match=r"params\.lr") as refused:
        one.create("a", "llm:sft", "acme/tiny", "local", "data", params={"lr": -1})
    assert refused.value.status == 422
    with pytest.raises(RequestRefused, match="no job 77"):
        one.get_logs("77")
    with pytest.raises(DeviceError, match="autotrain app"):
        Client(host="http://127.0.0.1:9").version()


def test_the_client_needs_no_account_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch):
    for name in ("HF_TOKEN", "HF_USERNAME", "AUTOTRAIN_API", "AUTOTRAIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert Client().host == DEFAULT_HOST
    one = Client(host="https://page.example/", token="hf_mytokenmytoken", password="open-sesame")
    assert one.host == "https://page.example" and "hf_" not in repr(one) and "sesame" not in str(one)


def test_the_client_gets_in_with_the_pages_password(settings: Settings, client_of: Any):
    from dataclasses import replace

    from pydantic import SecretStr

    from autotrain.app.state import build_state

    locked = client_of(build_state(replace(settings, password=SecretStr("open-sesame"))))
    asked = Client(host="http://127.0.0.1:7860", token="hf_mytokenmytoken", password="open-sesame")._request("version")
    assert locked.get("/api/version").status_code == 401
    assert locked.get("/api/version", headers=dict(asked.header_items())).status_code == 200
    assert asked.get_header("X-hub-token") == "hf_mytokenmytoken"
