"""The list of runs shows what was asked for last, however slow the disk is."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from nicegui import Client, core, ui
from nicegui.page import page

from autotrain.app.pages.runs import ROWS_A_PAGE, RunsPage
from autotrain.app.state import AppState
from autotrain.run_folder import write_json
from autotrain.runs import register


class SlowDisk:
    """A look at the list takes until it is let through.  asked: the place of the first run of each look."""

    def __init__(self, look: Any) -> None:
        self._look, self._gate = look, threading.Semaphore(0)
        self.asked: list[int] = []

    def list(self, query: str, stages: Any, first: int, count: int) -> Any:
        self.asked.append(first)
        assert self._gate.acquire(timeout=60)
        return self._look(query, stages, first, count)

    def let_through(self) -> None:
        self._gate.release()


def test_turning_the_page_while_the_list_is_read_isnt_undone_by_what_was_read(
    state: AppState, monkeypatch: pytest.MonkeyPatch
):
    for number in range(ROWS_A_PAGE + 1):
        _make_run(state.workspace.root / f"run-{number}")
    disk = SlowDisk(state.feeds.list)
    monkeypatch.setattr(state.feeds, "list", disk.list)

    async def use() -> None:
        monkeypatch.setattr(core, "loop", asyncio.get_running_loop())
        with Client(page("/runs")) as client:
            RunsPage(state, "", "", 0, [])
            await _until(lambda: disk.asked == [0])
            _click(client, "Next")
            disk.let_through()
            await _until(lambda: disk.asked == [0, ROWS_A_PAGE])
            disk.let_through()
            await _until(lambda: "26 to 26 of 26" in _texts(client))
            client.delete()

    asyncio.run(use())


def _make_run(folder: Path) -> None:
    folder.mkdir()
    write_json(folder / "state.json", {"stage": "finished", "step": 1, "total_steps": 1, "pid": 0, "message": ""})
    assert register(folder.name, folder, "local-ui", 0)


def _click(client: Client, text: str) -> None:
    (button,) = [one for one in client.elements.values() if isinstance(one, ui.button) and one.text == text]
    for listener in button._event_listeners.values():
        if listener.type == "click":
            button._handle_event({"listener_id": listener.id, "args": {}})


def _texts(client: Client) -> list[str]:
    return [one.text for one in client.elements.values() if isinstance(one, ui.label)]


async def _until(holds: Any) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)
