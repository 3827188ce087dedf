"""Safe by default, of the whole API: no route is forgotten by the guard, no path leads out, no secret comes back."""

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from files_here import files_with
from hub_double import HubDouble
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request

from autotrain.app.settings import Settings
from autotrain.app.state import build_state

PASSWORD = "a good password"
PUBLIC = {("get", "/api/health"), ("get", "/health"), ("get", "/login"), ("post", "/login")}


def routes_of(client: TestClient, **headers: str) -> Iterator[tuple[str, str]]:
    """Method and path of each route, with 1 for each of its parameters."""
    described = client.get("/api/openapi.json", headers=headers).json()
    for path, methods in described["paths"].items():
        for method in methods:
            yield method, re.sub(r"\{[^}]*\}", "1", path)


def test_every_route_demands_the_login(settings: Settings, client_of: Callable[..., TestClient]):
    client = client_of(build_state(replace(settings, host="0.0.0.0", password=SecretStr(PASSWORD))))
    routes = [one for one in routes_of(client, Authorization=f"Bearer {PASSWORD}") if one not in PUBLIC]
    assert len(routes) > 20
    assert [one for one in routes if client.request(*one).status_code != 401] == []


def test_no_route_is_changed_from_another_site(api: TestClient):
    changes = [one for one in routes_of(api) if one[0] != "get"]
    evil = {"Origin": "http://evil.example"}
    assert len(changes) > 10
    assert [one for one in changes if api.request(*one, headers=evil).status_code != 403] == []


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "%2e%2e", "..", "1%00", "-1", "1e3", "999999999999999999999"])
def test_no_path_parameter_climbs_out(api: TestClient, name: str):
    described = api.get("/api/openapi.json").json()
    paths = [path for path, methods in described["paths"].items() if "{" in path and "get" in methods]
    for path in paths:
        answer = api.get(re.sub(r"\{[^}]*\}", name, path))
        assert answer.status_code in (404, 422), (path, answer.status_code, answer.text[:200])
        assert "root:" not in answer.text


@pytest.mark.parametrize(
    "changes",
    [
        {"data_path": "/etc"},
        {"data_path": "../outside"},
        {"data_path": "~/data"},
        {"data_path": "link"},
        {"model": "/etc/passwd"},
        {"model": "../model"},
        {"model_ref": "/etc", "trainer": "dpo"},
        {"chat_template": "/etc/passwd"},
        {"train_split": "../../secret"},
        {"project_name": "../run"},
        {"project_name": "/tmp/run"},
    ],
    ids=str,
)
def test_a_run_reads_and_writes_the_workspace_only(api: TestClient, settings: Settings, tmp_path: Path, changes: Any):
    (tmp_path / "outside").mkdir()
    (settings.workspace / "link").symlink_to(tmp_path / "outside")
    asked = {"model": "smollm2-135m", "project_name": "my-run", "data_path": "datasets/x", "trainer": "sft", **changes}
    answer = api.post("/api/runs", json={"params": asked})
    assert answer.status_code == 422, answer.text
    assert api.post("/api/preview", json=asked).status_code == 422
    assert api.get("/api/runs").json()["total"] == 0 and not (settings.workspace / "my-run").exists()


def test_a_token_never_comes_back(hub: HubDouble, api: TestClient, settings: Settings):
    hub.add_user("nils")
    assert api.put("/api/token", json={"token": "hf_nils"}).json() == {"name": "nils"}
    for method, path in routes_of(api):
        if method == "get" and "events" not in path:
            assert "hf_nils" not in api.get(path).text, path
    assert files_with(settings.home, b"hf_nils") == []
    assert api.delete("/api/token").status_code == 204


def test_a_wrong_token_is_refused_without_being_repeated(hub: HubDouble, api: TestClient):
    answer = api.put("/api/token", json={"token": "hf_wrong_and_secret"})
    assert answer.status_code == 422 and "wrong_and_secret" not in answer.text
    answer = api.put("/api/token", json={"token": ["hf_wrong_and_secret"]})
    assert answer.status_code == 422 and "wrong_and_secret" not in answer.text


def test_a_stranger_at_a_public_path_where_nothing_is_gets_no_page_and_makes_no_fault(settings: Settings):
    from autotrain.app.pages.errors import not_found

    asked = Request({"type": "http", "method": "GET", "path": "/static/none", "headers": [], "server": ("localhost", 80)})
    answer = asyncio.run(not_found(asked, HTTPException(404)))
    assert (answer.status_code, answer.body) == (404, b'{"detail":"Not Found"}')
