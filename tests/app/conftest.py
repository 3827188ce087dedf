"""What tests of the page share: settings in an empty folder, and the guarded API without pages."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

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


Clients = Callable[..., TestClient]


@pytest.fixture
def client_of() -> Iterator[Clients]:
    """client_of(state, **changed_settings): a program (no browser) that talks to the guarded API, services running."""
    with ExitStack() as stack:

        def make(state: AppState, **changes: Any) -> TestClient:
            settings = replace(state.settings, **changes)
            guarded = Guard(build_api(state), settings, state.access, public=("/static/",))
            return stack.enter_context(TestClient(guarded, base_url=LOCAL))

        yield make


@pytest.fixture
def api(state: AppState, client_of: Clients) -> TestClient:
    return client_of(state)


@pytest.fixture
def worker_double(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Runs are done by `worker_double.py`, which trains nothing; the workspace holds a folder of data to name."""
    (settings.workspace / "data").mkdir()
    (settings.workspace / "data" / "train.jsonl").write_text('{"text": "one"}\n')
    program = str(Path(__file__).parent / "worker_double.py")

    def command(entry: str, parameters_file: str, options: Sequence[str] = ()) -> list[str]:
        return [sys.executable, program, entry, "--training_config", parameters_file, *options]

    monkeypatch.setattr("autotrain.backends.local.worker_command", command)


@pytest.fixture
def served(state: AppState) -> Iterator[str]:
    """Address of the guarded API on a port of its own, for what streams or has a client of its own."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(
            Guard(build_api(state), state.settings, state.access, public=("/static/",)),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)
