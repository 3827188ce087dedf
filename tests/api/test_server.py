"""`autotrain api`: what it answers, and when it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from autotrain.api.server import serving
from autotrain.api.watch import Watch
from autotrain.cloud.report import FAILED, End
from autotrain.errors import DeviceError


def get(port: int, path: str) -> object:
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return json.loads(answer.read())


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    watch = Watch()
    watch.starts(tmp_path / "run")
    return watch


def test_the_contracts_paths_answer_as_autotrains_did(watch: Watch):
    with serving(watch, "127.0.0.1", 0) as port:
        assert get(port, "/") == "Your model is being trained..."
        assert get(port, "/health") == "OK"


def test_status_tells_where_the_run_stands(watch: Watch):
    with serving(watch, "127.0.0.1", 0) as port:
        fields = {"stage": "starting", "step": 0, "total_steps": 0, "loss": None, "seconds_left": None}
        assert get(port, "/status") == fields | {"reason": "", "url": ""}
        watch.ends(End(FAILED, 2, "no column words"))
        status = get(port, "/status")
        assert isinstance(status, dict) and (status["stage"], status["reason"]) == ("failed", "no column words")
        assert get(port, "/") == "The training failed; see /status."


def test_a_port_that_is_taken_is_explained(watch: Watch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = serving(watch, "127.0.0.1", taken.getsockname()[1])
        with pytest.raises(DeviceError, match="choose another --port"):
            server.__enter__()


def test_after_the_server_its_port_is_free(watch: Watch):
    with serving(watch, "127.0.0.1", 0) as port:
        pass
    with pytest.raises(URLError):
        get(port, "/health")


@pytest.fixture
def idle(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """`autotrain api` where there is nothing to train."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PARAMS", "HF_TOKEN", "SPACE_ID")}
    process = subprocess.Popen(
        [sys.executable, "-m", "autotrain", "api", "--port", "0", "--task", "9"],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()


def test_defect_autotrains_api_crashed_without_its_variables(idle: "subprocess.Popen[str]"):
    """Regression: AutoTrain read them at import: int(None), a TypeError."""
    assert idle.stderr is not None
    port = int(idle.stderr.readline().rsplit(":", 1)[1])
    assert "there is nothing to train: the variable PARAMS isn't set" in idle.stderr.readline()
    assert get(port, "/health") == "OK"
    status = get(port, "/status")
    assert isinstance(status, dict) and status["stage"] == "idle"
    idle.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert idle.wait(30) == 0 and time.monotonic() - began < 20
