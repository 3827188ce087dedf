"""A run behind the page, with the real worker: it outlives the server, and is stopped, resumed and followed over its API."""

import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nicegui", reason="the page's libraries aren't installed (extra app)")

from harness import Server

from autotrain.client import Client
from autotrain.runs.processes import Process, belonging_to, find_process, is_there
from autotrain.training.metrics import read_json_lines

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own
SECONDS = 240
# Enough for a run to be in the middle still when it is stopped.
EPOCHS, STEPS_PER_EPOCH = 60, 24


class Api:
    """A program that uses the API of a server, which may be another one in between."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def __call__(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server.address}/api{path}", data=data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def wait(self, number: int, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        end = time.monotonic() + SECONDS
        while not until(run := self("GET", f"/runs/{number}")):
            assert time.monotonic() < end, f"it stays {run}"
            time.sleep(0.1)
        return run

    def events(self, number: int, last_id: str = "") -> Iterator[tuple[str, str, Any]]:
        request = urllib.request.Request(f"{self.server.address}/api/runs/{number}/events")
        request.add_header("Last-Event-ID", last_id)
        with urllib.request.urlopen(request, timeout=60) as answer:
            block: dict[str, str] = {}
            for line in answer:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    block[name] = value
                elif "data" in block:
                    yield block["id"], block["event"], json.loads(block["data"])


@pytest.fixture
def server(tmp_path: Path, tiny_model: Path, chat_folder: Path) -> Iterator[Server]:
    one = Server(tmp_path / "served")
    one.workspace.mkdir(parents=True)
    shutil.copytree(tiny_model, one.workspace / "tiny")
    shutil.copytree(chat_folder, one.workspace / "rows")
    yield one.start()
    one.kill()


def config(name: str, **params: Any) -> dict[str, Any]:
    given = {"batch_size": 1, "gradient_accumulation": 1, "logging_steps": 1, "num_sample_prompts": 1, "lr": 1e-3, **params}
    data = {"path": "rows", "valid_split": "valid", "column_mapping": {"text_column": "messages"}}
    return {"task": "llm-sft", "base_model": "tiny", "project_name": name, "data": data, "params": given}


@contextmanager
def held(worker: Process) -> Iterator[None]:
    """Inside, the worker stands still."""
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.pid, signal.SIGCONT)


def losses(folder: Path) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in read_json_lines(folder / "metrics.jsonl") if "loss" in row]


def test_a_run_outlives_its_server_and_goes_on_where_it_was_stopped(server: Server):
    """The server is killed in mid-run; the next one shows the run as it is, stops it whole, and lets it go on exactly."""
    api = Api(server)
    number = api("POST", "/runs", {"config": config("run", epochs=EPOCHS)})["number"]
    api.wait(number, lambda run: run["step"] > 5)
    worker = find_process(json.loads((server.workspace / "run" / "state.json").read_text())["pid"])
    assert worker
    last_id, had = "", []
    with held(worker):  # a server takes its time to start
        for event_id, kind, data in api.events(number):
            last_id = event_id
            had += [row["step"] for row in data["rows"] if "loss" in row] if kind == "metrics" else []
            if kind == "metrics":
                break
        server.kill()
        assert is_there(worker)
        server.start()
    api.wait(number, lambda run: run["stage"] == "training" and run["seconds_left"] is not None)
    for _, kind, data in api.events(number, last_id):
        had += [row["step"] for row in data["rows"] if "loss" in row] if kind == "metrics" else []
        if kind == "metrics":
            break
    assert had == list(range(1, len(had) + 1))
    tree = belonging_to(worker)
    api("POST", f"/runs/{number}/stop", {})
    run = api.wait(number, lambda run: not run["is_live"])
    assert run["stage"] == "interrupted" and 0 < run["step"] < EPOCHS * STEPS_PER_EPOCH
    end = time.monotonic() + 30
    while left := [pid for pid, one in tree.items() if is_there(one)]:
        assert time.monotonic() < end, f"processes {left} are left behind"
        time.sleep(0.1)
    assert list((server.workspace / "run" / "checkpoints").glob("checkpoint-*/trainable.safetensors"))
    api("POST", f"/runs/{number}/resume", {})
    assert api.wait(number, lambda run: not run["is_live"])["stage"] == "finished"
    again = api("POST", f"/runs/{number}/again", {"params": {}})["number"]
    assert api.wait(again, lambda run: not run["is_live"])["stage"] == "finished"
    assert losses(server.workspace / "run") == losses(server.workspace / "run-2")
    assert len(losses(server.workspace / "run")) == EPOCHS * STEPS_PER_EPOCH


def test_autotrains_client_trains_on_this_machine(server: Server):
    client = Client(host=server.address)
    job = client.create("run", "llm:sft", "tiny", "local", "rows", column_mapping={"text_column": "messages"},
                        params={"epochs": 1, "merge_adapter": False, "lora_r": 2})["job_id"]  # fmt: skip
    run = Api(server).wait(int(job), lambda run: not run["is_live"])
    assert run["stage"] == "finished", run["reason"]
    adapter = json.loads((server.workspace / "run" / "adapter_config.json").read_text())
    assert adapter["r"] == 2 and "make one model of it" in client.get_logs(job)["logs"]
