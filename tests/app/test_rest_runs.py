"""The API of runs, as a program uses it: guarded, with real folders, and workers that train nothing."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from autotrain.app.settings import Settings
from autotrain.runs import register
from autotrain.trainers.clm.params import LLMTrainingParams

SECONDS = 60


@pytest.fixture(autouse=True)
def _workers(worker_double: None) -> None:
    """For all tests here."""


def config(name: str, **params: Any) -> dict[str, Any]:
    return {"task": "llm-sft", "base_model": "acme/tiny", "project_name": name, "data": {"path": "data"}, "params": params}


def start(api: TestClient, name: str, **params: Any) -> int:
    answer = api.post("/api/runs", json={"config": config(name, **params)})
    assert answer.status_code == 201, answer.text
    return answer.json()["number"]


def wait(api: TestClient, number: int, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + SECONDS
    while not until(run := api.get(f"/api/runs/{number}").json()):
        assert time.monotonic() < end, f"it stays {run}"
        time.sleep(0.02)
    return run


def wait_for_end(api: TestClient, number: int) -> dict[str, Any]:
    return wait(api, number, lambda run: not run["is_live"])


def test_a_run_is_started_watched_and_listed(api: TestClient):
    number = start(api, "first", epochs=2)
    run = wait_for_end(api, number)
    assert (run["stage"], run["step"], run["base_model"], run["trainer"]) == ("finished", 20, "acme/tiny", "sft")
    listed = api.get("/api/runs", params={"q": "tiny first", "stage": "finished,failed"}).json()
    assert listed["total"] == 1 and listed["runs"][0]["number"] == number
    assert api.get("/api/runs", params={"stage": "failed"}).json() == {"total": 0, "runs": []}


def test_a_run_is_asked_for_as_yaml_or_as_parameters_too(api: TestClient):
    text = "task: llm-sft\nbase_model: acme/tiny\nproject_name: yaml\ndata: {path: data}\n"
    assert api.post("/api/runs", json={"config": text}).status_code == 201
    params = {"model": "acme/tiny", "project_name": "params", "data_path": "data", "trainer": "orpo"}
    assert api.post("/api/runs", json={"params": params, "backend": "local"}).json()["trainer"] == "orpo"


def test_all_faults_come_at_once_and_nothing_is_started(api: TestClient):
    wrong = {**config("a", lr=-1, epoch=3), "task": "llm-sfd"}
    answer = api.post("/api/runs", json={"config": wrong})
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert all(part in detail for part in ("llm-sft", "params.epoch", "epochs", "params.lr"))
    assert api.get("/api/runs").json()["total"] == 0


def test_the_servers_environment_isnt_put_into_a_config(api: TestClient, monkeypatch: pytest.MonkeyPatch):
    """Whoever may start a run may not read the server's variables."""
    monkeypatch.setenv("DATABASE_PASSWORD", "very-secret-value")
    answer = api.post("/api/runs", json={"config": config("a", seed="${DATABASE_PASSWORD}")})
    assert answer.status_code == 422 and "isn't set" in answer.json()["detail"] and "very-secret" not in answer.text


def test_a_run_in_the_way_is_a_conflict_and_overwrite_replaces_it(api: TestClient):
    number = start(api, "a")
    wait_for_end(api, number)
    again = {"config": config("a", epochs=2)}
    assert api.post("/api/runs", json=again).status_code == 409
    assert api.post("/api/runs", json={**again, "overwrite": True}).json()["number"] == number
    assert wait_for_end(api, number)["step"] == 20


def test_what_isnt_there_is_not_found(api: TestClient):
    for method, path in (
        ("GET", "/api/runs/9"),
        ("GET", "/api/runs/9/metrics"),
        ("GET", "/api/runs/9/log"),
        ("GET", "/api/runs/9/events"),
        ("POST", "/api/runs/9/stop"),
        ("POST", "/api/runs/9/resume"),
        ("DELETE", "/api/runs/9"),
    ):
        answer = api.request(method, path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "there's no run 9 (any more)"}), (method, path)


def test_what_was_sent_isnt_sent_back_when_it_is_no_request(api: TestClient):
    """A token in the wrong place, say."""
    answer = api.post("/api/runs", json={"konfig": {}, "token": "hf_mytokenmytoken"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "konfig: unknown key\ntoken: unknown key"


def test_stop_resume_again_and_delete(api: TestClient):
    number = start(api, "tree", epochs=500)
    wait(api, number, lambda run: run["step"] > 2)
    api.post(f"/api/runs/{number}/stop")
    assert wait_for_end(api, number)["stage"] == "interrupted"
    assert api.post(f"/api/runs/{number}/resume").json()["number"] == number
    wait(api, number, lambda run: run["step"] > 5)
    assert api.delete(f"/api/runs/{number}").status_code == 409
    api.post(f"/api/runs/{number}/stop", json={"now": True})
    assert wait_for_end(api, number)["stage"] in ("stopped", "interrupted")
    again = api.post(f"/api/runs/{number}/again", json={"params": {"epochs": 1, "lr": 1e-4}})
    assert again.status_code == 201 and again.json()["name"] == "tree-2"
    other = again.json()["number"]
    assert wait_for_end(api, other)["stage"] == "finished"
    values = api.get(f"/api/runs/{other}/params").json()
    assert (values["epochs"], values["lr"], values["trainer"]) == (1, 1e-4, "sft")
    assert api.delete(f"/api/runs/{other}", params={"with_folder": True}).status_code == 204
    assert api.get("/api/runs").json()["total"] == 1


def test_a_name_after_the_last_one(api: TestClient):
    for _ in range(2):
        wait_for_end(api, start(api, "a") if not api.get("/api/runs").json()["total"] else
                     api.post("/api/runs/1/again", json={}).json()["number"])  # fmt: skip
    assert api.post("/api/runs/2/again", json={}).json()["name"] == "a-3"


def test_the_course_of_a_run_in_parts(api: TestClient):
    number = start(api, "a", epochs=30)
    wait_for_end(api, number)
    whole = api.get(f"/api/runs/{number}/metrics").json()
    assert whole["names"] == ["loss", "tokens", "seconds", "tokens_per_second"]
    assert len(whole["series"]["loss"]) == 300 and whole["series"]["loss"][0] == [1, 1]
    assert whole["series"]["tokens_per_second"][0] == [1, 5000]
    part = api.get(
        f"/api/runs/{number}/metrics", params={"names": "loss,none", "first": 100, "last": 200, "points": 10}
    ).json()
    steps = [step for step, _ in part["series"]["loss"]]
    assert steps[0] == 100 and steps[-1] == 200 and len(steps) <= 12 and part["series"]["none"] == []
    new = api.get(f"/api/runs/{number}/metrics/since", params={"position": whole["position"]}).json()
    assert new == {"position": whole["position"], "rows": [], "is_anew": False}


def test_the_log_in_parts(api: TestClient):
    number = start(api, "a", epochs=30)
    wait_for_end(api, number)
    end = api.get(f"/api/runs/{number}/log", params={"count": 2}).json()
    assert end == {"first": 298, "size": 300, "lines": ["step 299/300", "step 300/300"]}
    found = api.get(f"/api/runs/{number}/log/find", params={"text": "STEP 25", "from": 30}).json()
    assert found == {"line": 249, "matches": 11}
    back = api.get(f"/api/runs/{number}/log/find", params={"text": "step 25", "from": 30, "backwards": 1}).json()
    assert back["line"] == 24
    whole = api.get(f"/api/runs/{number}/log/file")
    assert whole.text.count("\n") == 300 and "a.log" in whole.headers["content-disposition"]


def test_a_run_as_a_config_and_as_a_command_gives_the_same_run(api: TestClient):
    number = start(api, "a", peft=True, lora_r=4, block_size=[64, 128], merge_adapter=False)
    wait_for_end(api, number)
    text = api.get(f"/api/runs/{number}/config").text
    checked = api.post("/api/config/validate", json={"config": text}).json()
    assert checked["valid"] and checked["params"] == api.get(f"/api/runs/{number}/params").json()
    command = api.get(f"/api/runs/{number}/command").text
    assert "--peft" in command and "--no-merge-adapter" in command and "--block-size 64,128" in command


def test_samples_and_rows_left_out(api: TestClient, settings: Settings):
    number = start(api, "a")
    wait_for_end(api, number)
    folder: Path = settings.workspace / "a"
    samples = [{"step": step, "prompt": "p", "reference": "r", "answer": f"a{step}"} for step in range(5)]
    (folder / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    left_out = [{"split": "train", "file": "f", "line": line, "what": "left out", "reason": "empty"} for line in range(30)]
    (folder / "rows_left_out.jsonl").write_text("".join(json.dumps(one) + "\n" for one in left_out))
    assert api.get(f"/api/runs/{number}/samples", params={"limit": 2}).json() == samples[3:]
    part = api.get(f"/api/runs/{number}/left-out", params={"offset": 10, "limit": 5}).json()
    assert part == {"total": 30, "rows": left_out[10:15]}


def test_a_note_is_kept(api: TestClient):
    number = start(api, "a")
    assert api.patch(f"/api/runs/{number}", json={"notes": "best so far"}).json()["notes"] == "best so far"
    assert api.get("/api/runs", params={"q": "best"}).json()["total"] == 1


def test_a_config_is_checked_key_by_key(api: TestClient):
    text = "task: llm-sft\nbase_model: acme/tiny\nproject_name: a\ndata:\n  path: data\nparams:\n  epoch: 2\n  lr: x\n"
    answer = api.post("/api/config/validate", json={"config": text}).json()
    assert not answer["valid"]
    assert [(one["key"], one["line"]) for one in answer["problems"]] == [("params.epoch", 7), ("params.lr", 8)]
    assert "did you mean" in answer["problems"][0]["text"]


def test_a_sound_config_is_shown_whole_without_its_token(api: TestClient):
    said = config("a", lora_r=8) | {"hub": {"token": "hf_mytokenmytoken"}}
    answer = api.post("/api/config/validate", json={"config": said})
    checked = answer.json()
    assert checked["valid"] and checked["params"]["lora_r"] == 8 and "hf_mytoken" not in answer.text
    assert any("lora_r has no effect" in note for note in checked["notes"])
    assert checked["yaml"].startswith("task: llm-sft\n") and checked["command"].startswith("autotrain llm --train")


def test_what_cant_run_here_isnt_valid(api: TestClient):
    outside = config("a") | {"data": {"path": "/etc"}, "backend": "nvcf-h100x1"}
    problems = api.post("/api/config/validate", json={"config": outside}).json()["problems"]
    assert any("not available" in one["text"] for one in problems) and any("outside" in one["text"] for one in problems)


def test_the_parameters_schema_and_the_apis_own(api: TestClient):
    assert api.get("/api/config/schema").json()["properties"]["lora_r"]["exclusiveMinimum"] == 0
    paths = api.get("/api/openapi.json").json()["paths"]
    assert paths["/api/runs"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "/Refusal"
    )
    assert {"/api/runs", "/api/runs/{number}/events", "/api/create_project", "/api/config/validate"} <= set(paths)


def test_another_site_can_start_and_stop_nothing(api: TestClient):
    evil = {"Origin": "http://evil.example", "Cookie": "x=y"}
    assert api.post("/api/runs", json={"config": config("a")}, headers=evil).status_code == 403
    assert api.post("/api/create_project", json={}, headers=evil).status_code == 403


def test_the_api_can_be_read_without_a_request_to_elsewhere(api: TestClient):
    """FastAPI's own page of this kind fetches scripts from a CDN."""
    page = api.get("/api/docs").text
    assert "/api/runs/{number}/stop" in page and "Let a run save and leave" in page and "is_stopping" in page
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert addresses and all(one.startswith("/") for one in addresses)


def test_a_run_of_the_command_line_is_repeated_with_its_own_data_and_no_others_outside(api: TestClient, tmp_path: Path):
    """Its owner chose them; a request over the network may choose in the workspace only."""
    folder = tmp_path / "elsewhere" / "run"
    (tmp_path / "elsewhere" / "rows").mkdir(parents=True)
    rows = str(tmp_path / "elsewhere" / "rows")
    LLMTrainingParams(model="acme/tiny", project_name="run", data_path="rows", trainer="sft").save(folder)
    state = {"stage": "finished", "step": 1, "total_steps": 1, "pid": 2**22 - 3, "heartbeat": 1.0, "message": ""}
    (folder / "state.json").write_text(json.dumps(state))
    number = register("run", folder, "local", 2**22 - 3)
    again = api.post(f"/api/runs/{number}/again", json={"params": {"epochs": 1}})
    assert again.status_code == 201, again.text
    assert wait_for_end(api, again.json()["number"])["stage"] == "finished"
    assert api.get(f"/api/runs/{again.json()['number']}/params").json()["data_path"] == rows
    other = api.post(f"/api/runs/{number}/again", json={"params": {"data_path": str(tmp_path)}})
    assert other.status_code == 422 and "outside the workspace" in other.json()["detail"]
