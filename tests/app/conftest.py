"""What tests of the page share: settings in an empty folder, and the guarded API without pages."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")

from fastapi.testclient import TestClient

from autotrain.app.guard import Guard
from autotrain.app.serve import build_api
from autotrain.app.settings import Settings
from autotrain.app.state import AppState, build_state

LOCAL = "http://127.0.0.1:7860"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a page on this machine, with an empty workspace and home."""
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "workspace").mkdir()
    return Settings(workspace=tmp_path / "workspace", home=tmp_path / "home")


@pytest.fixture
def state(settings: Settings) -> AppState:
    return build_state(settings)


@pytest.fixture
def api(state: AppState) -> Iterator[TestClient]:
    """A program that uses the guarded API, its services running."""
    with client(state) as one:
        yield one


def client(state: AppState, **changes: object) -> TestClient:
    """A program (no browser) that talks to the guarded API of `state`, settings changed by `changes`."""
    settings = replace(state.settings, **changes)  # type: ignore[arg-type]
    return TestClient(Guard(build_api(state), settings, state.access, public=()), base_url=LOCAL)
