"""A file of a run folder that is a link: what it leads to is neither shown nor written to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")

from fastapi.testclient import TestClient

from autotrain.app.state import AppState
from autotrain.app.talks import TalkProblem, subject_of
from autotrain.run_folder import write_json
from autotrain.runs import register
from autotrain.trainers.clm.params import LLMTrainingParams

SECRET = "swordfish"
STATE = {"stage": "interrupted", "step": 1, "total_steps": 2, "pid": 0, "heartbeat": 1.0, "message": ""}
ROW = {"step": 1, "loss": 0.5, "tokens": 1, "seconds": 1.0, "stage": "failed", "model": SECRET, "message": SECRET}


@pytest.fixture
def folder(state: AppState) -> Path:
    """Of a run that has the number 1, with what every run has but its records."""
    folder = state.workspace.root / "my-run"
    folder.mkdir()
    LLMTrainingParams(model="smollm2-135m", project_name="my-run", trainer="sft", data_path="data").save(folder)
    write_json(folder / "state.json", STATE)
    assert register("my-run", folder, "local-ui", 0) == 1
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that reads as a log, as rows, and as the object of a JSON file."""
    file = tmp_path / "outside.txt"
    file.write_text(json.dumps({**ROW, SECRET: 1, "prompt": SECRET, "answer": SECRET}) + "\n")
    return file


def answers(api: TestClient) -> Iterator[tuple[str, str]]:
    """Each address of the API that tells of the run, and what it says."""
    described = api.get("/api/openapi.json").json()
    for path, methods in described["paths"].items():
        if "get" in methods and "events" not in path:
            address = re.sub(r"\{[^}]*\}", "1", path)
            more = {"names": "loss", "text": "s", "position": 0} if "/runs/" in path else {}
            yield address, api.get(address, params=more).text


@pytest.mark.parametrize(
    "name",
    [
        "run.json",
        "train.log",
        "metrics.jsonl",
        "samples.jsonl",
        "rows_left_out.jsonl",
        "state.json",
        "training_params.json",
        "README.md",
        "hub.json",
        "loss_curve.svg",
        "config.json",
        "adapter_config.json",
    ],
)
def test_a_link_in_a_run_folder_isnt_followed(api: TestClient, folder: Path, outside: Path, name: str):
    for result in ("config.json", "model.safetensors"):  # so that there is something to download, with a card
        (folder / result).write_text("{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    told = dict(answers(api))
    assert {"/api/runs", "/api/runs/1", "/api/runs/1/log", "/api/runs/1/facts", "/api/runs/1/card"} <= told.keys()
    assert [address for address, text in told.items() if SECRET in text] == []


def test_a_record_that_is_a_file_is_told(api: TestClient, folder: Path, outside: Path):
    """So that the test above can fail."""
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text("{}")
    for name in ("run.json", "train.log", "metrics.jsonl", "samples.jsonl", "rows_left_out.jsonl", "README.md"):
        (folder / name).write_text(outside.read_text())
    told = {address.rpartition("/")[2] for address, text in answers(api) if SECRET in text}
    assert {"facts", "log", "file", "metrics", "since", "samples", "left-out", "card"} <= told


def test_a_model_isnt_made_of_files_that_lie_elsewhere(state: AppState, folder: Path, outside: Path):
    (folder / "config.json").write_text("{}")
    (folder / "chat_template.jinja").symlink_to(outside)
    with pytest.raises(TalkProblem, match=r"chat_template\.jinja is a link that leads out"):
        subject_of(state.feeds.run(1).view())


@pytest.mark.usefixtures("worker_double")
def test_a_run_isnt_resumed_where_a_link_would_have_it_write_outside(api: TestClient, folder: Path, outside: Path):
    (folder / "train.log").symlink_to(outside)
    before = outside.read_text()
    answer: Any = api.post("/api/runs/1/resume")
    assert (answer.status_code, "train.log is a link" in answer.json()["detail"]) == (409, True)
    assert outside.read_text() == before
