"""What is done with results: a download holds the allow-list and no place of this machine, merging and pushing report."""

import asyncio
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")

from fastapi.testclient import TestClient
from pydantic import SecretStr
from results_of import PRIVATE, make_run

from autotrain.app.results.archive import archive
from autotrain.app.results.errand import Errand
from autotrain.app.state import AppState
from autotrain.errors import HubError, RunFolderError

TOKEN = "hf_AnnsOwnSecretToken"


def test_a_download_holds_what_may_go_and_nothing_else(api: TestClient, state: AppState, tiny_model: Path) -> None:
    number = make_run(state.workspace.root, "my-run", tiny_model)
    answer = api.get(f"/api/runs/{number}/download")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''my-run.zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        names = set(found.namelist())
        texts = {name: found.read(name) for name in names}
    assert {"my-run/adapter_config.json", "my-run/adapter_model.safetensors", "my-run/README.md"} <= names
    assert not names & {f"my-run/{file}" for file in PRIVATE}
    assert all(name.startswith("my-run/") and ".." not in name for name in names)
    for name, text in texts.items():
        assert str(state.workspace.root).encode() not in text, name
        assert str(tiny_model).encode() not in text, name
    listed = {f"my-run/{file['path']}" for file in api.get(f"/api/runs/{number}/files").json()}
    assert listed == names


def test_a_download_is_made_piece_by_piece(state: AppState, tiny_model: Path) -> None:
    view = state.feeds.run(make_run(state.workspace.root, "my-run", tiny_model)).view()
    large = Path(view.folder) / "model.safetensors"
    with large.open("wb") as file:
        file.truncate(40_000_000)
    result = state.results.result(view)
    sizes = [len(chunk) for chunk in archive(result.folder, result.files)]
    assert max(sizes) < 2_000_000
    assert sum(sizes) > 40_000_000


def test_links_that_lead_out_and_tokens_in_files_stop_a_download(
    state: AppState, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = state.feeds.run(make_run(state.workspace.root, "my-run", tiny_model)).view()
    (tmp_path / "secret").write_text("outside")
    (Path(view.folder) / "merges.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(RunFolderError, match=r"merges\.txt is a link that leads out"):
        state.results.result(view)
    (Path(view.folder) / "merges.txt").unlink()
    (Path(view.folder) / "vocab.txt").write_text(f"x {TOKEN} y")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with pytest.raises(HubError, match=r"vocab\.txt holds your hub token"):
        state.results.to_download(view)


def test_a_run_without_a_result_is_refused_in_a_sentence(api: TestClient, state: AppState, tiny_model: Path) -> None:
    number = make_run(state.workspace.root, "my-run", tiny_model, kind="nothing", stage="interrupted")
    answer = api.get(f"/api/runs/{number}/download")
    assert (answer.status_code, "has no model yet" in answer.json()["detail"]) == (409, True)
    assert api.get("/api/runs/999/download").status_code == 404
    assert api.get(f"/api/runs/{number}/errand").status_code == 404


def test_the_card_comes_without_places_and_its_picture_runs_nothing(
    api: TestClient, state: AppState, tiny_model: Path
) -> None:
    number = make_run(state.workspace.root, "my-run", tiny_model)
    card = api.get(f"/api/runs/{number}/card").text
    assert card.lstrip().startswith("# my-run")
    assert str(state.workspace.root) not in card
    picture = api.get(f"/api/runs/{number}/loss_curve.svg")
    assert picture.headers["content-type"].startswith("image/svg+xml")


def errand_of(api: TestClient, number: int) -> dict[str, Any]:
    end = time.monotonic() + 300
    while (found := api.get(f"/api/runs/{number}/errand").json())["state"] == "running":
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found


def test_an_adapter_is_merged_and_its_record_says_so(api: TestClient, state: AppState, tiny_model: Path) -> None:
    number = make_run(state.workspace.root, "my-run", tiny_model)
    folder = state.workspace.root / "my-run"
    with api:  # one event loop for all of it
        begun = api.post(f"/api/runs/{number}/merge")
        assert begun.status_code == 202, begun.text
        assert api.post(f"/api/runs/{number}/merge").status_code == 409  # one at a time
        found = errand_of(api, number)
        assert (found["state"], found["problem"]) == ("done", ""), found
        again = api.post(f"/api/runs/{number}/merge")
        assert (again.status_code, "whole already" in again.json()["detail"]) == (409, True)
    assert (folder / "model.safetensors").is_file()
    assert (folder / "adapter" / "adapter_model.safetensors").is_file()
    assert not (folder / "adapter_config.json").exists()
    assert json.loads((folder / "training_params.json").read_text())["merge_adapter"] is True
    assert "PeftModel" not in (folder / "README.md").read_text()


def test_merging_without_memory_for_it_is_refused(
    api: TestClient, state: AppState, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = make_run(state.workspace.root, "my-run", tiny_model)
    monkeypatch.setattr("autotrain.app.talks.talks.free_bytes", lambda: 10_000_000)
    answer = api.post(f"/api/runs/{number}/merge")
    assert (answer.status_code, "enough memory" in answer.json()["detail"]) == (409, True)


def test_pushing_without_a_token_or_to_a_bad_name_is_refused(
    api: TestClient, state: AppState, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = make_run(state.workspace.root, "my-run", tiny_model)
    monkeypatch.setattr("autotrain.app.tokens.Tokens.current", lambda tokens: None)
    assert "token" in api.post(f"/api/runs/{number}/push", json={"repo": "mine"}).json()["detail"]
    monkeypatch.setattr("autotrain.app.tokens.Tokens.current", lambda tokens: SecretStr(TOKEN))
    for name in ("a/b/c", "../x", "--public", ""):
        answer = api.post(f"/api/runs/{number}/push", json={"repo": name})
        assert answer.status_code == 422, name


def test_a_result_is_pushed_and_a_refusal_of_the_hub_is_said_without_the_token(
    hub: Any, api: TestClient, state: AppState, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_user("ann", token=TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    number = make_run(state.workspace.root, "my-run", tiny_model)
    with api:
        assert api.post(f"/api/runs/{number}/push", json={"repo": "bens/own"}).status_code == 202
        refused = errand_of(api, number)
        assert refused["state"] == "failed"
        assert "bens" in refused["problem"]
        assert api.post(f"/api/runs/{number}/push", json={"repo": "mine"}).status_code == 202
        found = errand_of(api, number)
    assert (found["state"], found["problem"]) == ("done", ""), found
    assert found["result"] == f"{hub.url}/ann/mine"
    assert TOKEN not in json.dumps([refused, found])
    pushed = state.results.result(state.feeds.run(number).view()).pushed
    assert pushed is not None
    assert pushed.repo_id == "ann/mine"


@pytest.mark.parametrize("end", [Errand.stop, Errand.close])
@pytest.mark.parametrize("has_begun", [True, False])
def test_an_errand_can_be_stopped(tmp_path: Path, end: Callable[[Errand], None], has_begun: bool) -> None:
    """Also before its process is there; regression: then it went on."""

    async def work() -> Errand:
        errand = Errand("merge", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path)
        while has_begun and errand._process is None:
            await asyncio.sleep(0.01)
        end(errand)
        await asyncio.wait_for(errand.wait(), 30)
        return errand

    errand = asyncio.run(work())
    assert errand.state == "failed" and not any("Error" in line for line in errand.lines), errand.lines
