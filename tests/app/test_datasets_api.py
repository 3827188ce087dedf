"""Uploads and previews over the API: what lies is refused, what climbs stays inside, the language is the reader's."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from autotrain.app.state import AppState

CHAT = b'{"messages": [{"role": "user", "content": "What is red?"}, {"role": "assistant", "content": "A colour."}]}\n'


def upload(api: TestClient, name: str, body: bytes, **headers: str) -> Any:
    return api.post("/api/datasets", params={"name": name}, content=body, headers=headers)


def test_an_upload_is_taken_listed_and_deleted(api: TestClient, state: AppState):
    told = upload(api, "chat.csv", CHAT * 3).json()
    assert told["files"]["train"] == {"name": "chat.csv", "kind": "jsonl", "bytes": 3 * len(CHAT), "notes": []}
    assert Path(told["data_path"]).parent == state.workspace.datasets
    assert api.get("/api/datasets").json() == [told]
    assert api.get(f"/api/datasets/{told['id']}").json() == told
    assert api.delete(f"/api/datasets/{told['id']}").status_code == 204
    assert api.get(f"/api/datasets/{told['id']}").status_code == 404


def test_an_upload_that_lies_about_its_type_is_refused_in_the_readers_language(api: TestClient):
    english = upload(api, "table.csv", b"%PDF-1.4 ...")
    assert (english.status_code, english.json()["detail"][:13]) == (422, "This is a PDF")
    chinese = upload(api, "table.csv", b"%PDF-1.4 ...", **{"accept-language": "zh-CN"})
    assert "PDF" in chinese.json()["detail"] and "训练" in chinese.json()["detail"]


@pytest.mark.parametrize("name", ["../../../evil.csv", "%2e%2e%2fevil.csv", "/etc/cron.d/evil.csv"])
def test_a_name_that_climbs_stays_inside(api: TestClient, state: AppState, name: str):
    upload(api, name, b"a,b\n1,2\n")
    files = [path for path in state.workspace.root.parent.rglob("*") if path.is_file() and "evil" in path.name]
    assert files == []
    assert len(list(state.workspace.datasets.iterdir())) == 1


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc", "~/x", "datasets/../../x"])
def test_a_preview_reads_nothing_outside_the_workspace(api: TestClient, path: str):
    answer = api.post("/api/preview", json={"trainer": "sft", "model": "smollm2-135m", "data_path": path})
    assert answer.status_code == 422
    assert "outside the workspace" in answer.json()["detail"]


def test_parameters_that_are_wrong_are_named(api: TestClient):
    answer = api.post("/api/amounts", json={"trainer": "sft", "lr": "fast"})
    assert answer.status_code == 422 and "lr: must be a number" in answer.json()["detail"]


def test_preview_and_amounts_of_an_upload(api: TestClient, state: AppState, tiny_model: Path):
    (state.workspace.root / "tiny").symlink_to(tiny_model)
    inside = state.workspace.root / "model"
    inside.mkdir()
    for file in tiny_model.iterdir():
        (inside / file.name).write_bytes(file.read_bytes())
    told = upload(api, "chat.jsonl", CHAT * 6).json()
    params = {"trainer": "sft", "model": "model", "data_path": told["data_path"], "train_split": "train"}
    seen = api.post("/api/preview", json=params, params={"rows": 2}).json()
    assert seen["problem"] is None and len(seen["rows"]) == 2
    assert api.post("/api/amounts", json={**params, "batch_size": 1}).json()["total_steps"] == 2  # 6 rows, 1 x 4 a step
    # A link out of the workspace is no way in.
    assert api.post("/api/preview", json={**params, "model": "tiny"}).status_code == 422
