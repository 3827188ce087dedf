"""The commands of docs/api.md do what the page says, one after another."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotrain.app.settings import Settings
from autotrain.app.state import AppState

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
SECONDS = 120


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)


def wait_for_ends(state: AppState) -> None:
    end = time.monotonic() + SECONDS
    while any(view.is_live for view in state.feeds.all()):
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl and jq aren't installed")
def test_every_command_does_what_the_page_says(served: str, worker_double: None, state: AppState, tmp_path: Path):
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, version.split()[1].split(".")[:2])) < (7, 82):
        pytest.skip(reason="this curl doesn't know --json")
    script = "set -e\n" + "\n".join(blocks("sh")[:-1])
    environment = {"PATH": "/usr/bin:/bin", "PAGE": served}
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "event: end" in done.stdout and '"valid":true' in done.stdout
    wait_for_ends(state)
    assert [(view.number, view.stage, view.notes) for view in state.feeds.all()] == [(1, "finished", "the first try")]
    done = subprocess.run(["bash", "-ec", blocks("sh")[-1]], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count('"success":true') == 3, done.stdout
    wait_for_ends(state)


def test_the_client_is_used_as_the_page_says(served: str, worker_double: None, settings: Settings, state: AppState):
    program = blocks("python")[0].replace("http://127.0.0.1:7860", served)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0 and done.stdout == "Logs fetched successfully\n", done.stderr
    wait_for_ends(state)
    assert (settings.workspace / "third").exists() or state.feeds.all()[0].stage == "stopped"
