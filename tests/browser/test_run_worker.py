"""The real worker behind the page: watched, stopped with all that it started, resumed."""

import json
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from harness import Server


@pytest.fixture
def number(server: Server, tiny_model: Path, chat_folder: Path) -> int:
    """Of a run that would take minutes."""
    shutil.copytree(tiny_model, server.workspace / "models" / "tiny")
    shutil.copytree(chat_folder, server.workspace / "data")
    params = {
        "project_name": "long-river",
        "model": "models/tiny",
        "data_path": "data",
        "valid_split": "valid",
        "trainer": "sft",
        "chat_template": "tokenizer",
        "epochs": 3000,
        "batch_size": 4,
        "gradient_accumulation": 1,
        "block_size": 128,
        "logging_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": 50,
        "num_sample_prompts": 1,
        "peft": True,
    }
    body = json.dumps({"params": params, "backend": "local"}).encode()
    request = Request(f"{server.address}/api/runs", body, {"Content-Type": "application/json"})
    return json.load(urlopen(request))["number"]


def processes_of(root: Path) -> list[str]:
    """Commands of the workers that run, of pages under `root`."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"autotrain.trainers.clm" in (entry / "cmdline").read_bytes():
                environment = (entry / "environ").read_bytes()
                if f"AUTOTRAIN_HOME={root}".encode() in environment:
                    found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def step_shown(page: Any) -> int:
    words = page.locator(".at-run-line").inner_text().split()
    return int(words[1].replace(",", "")) if words[:1] == ["Step"] else 0


def wait_for_step_after(page: Any, step: int) -> None:
    end = time.monotonic() + 180
    while step_shown(page) <= step:
        assert time.monotonic() < end, page.locator("main, .nicegui-content").first.inner_text()
        page.wait_for_timeout(200)


def stop(page: Any, server: Server) -> None:
    page.get_by_role("button", name="Stop", exact=True).click()
    question = page.get_by_role("alertdialog").filter(has_text="Stop this run?")
    question.get_by_role("button", name="Back").click()
    question.wait_for(state="hidden")
    assert processes_of(server.home)
    page.get_by_role("button", name="Stop", exact=True).click()
    question.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped, saved").wait_for(timeout=150_000)
    page.get_by_role("button", name="Resume").wait_for()
    assert processes_of(server.home) == []


def test_a_run_is_watched_stopped_and_resumed(visit: Any, server: Server, number: int):
    page = visit.open(f"/run/{number}")
    wait_for_step_after(page, 1)
    page.locator("[data-canvas=loss] canvas").wait_for()
    page.get_by_text("left", exact=False).first.wait_for()
    page.reload()
    visit.alive()
    wait_for_step_after(page, 5)
    stop(page, server)
    page.get_by_role("heading", name="It was stopped, and its state is saved").wait_for()
    stopped_at = step_shown(page)
    page.get_by_role("button", name="Resume").click()
    wait_for_step_after(page, stopped_at)
    page.get_by_role("heading", name="It was stopped, and its state is saved").wait_for(state="hidden")
    rows = [json.loads(line) for line in (server.workspace / "long-river" / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == list(range(1, len(steps) + 1)), "a step is missing, or there twice"
    page.get_by_role("tab", name="Sample answers").click()
    page.get_by_text("Before training").first.wait_for()
    stop(page, server)
    assert visit.errors == []
