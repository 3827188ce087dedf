"""What the page shows of data is of the data that were chosen last."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from nicegui import Client, core, ui
from nicegui.page import page

from autotrain.app.drafts.checked import Checked
from autotrain.app.drafts.draft import HUB, Draft
from autotrain.app.pages.new.preview import PreviewPanel
from autotrain.app.pages.new.step import Seen
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams


class Wizard:
    """A draft whose only question is which data; `preview` takes until it is let go, and fails for bad data."""

    def __init__(self) -> None:
        self.data, self.looked_at = "bad", list[str]()
        self.draft, self.seen, self.is_gone = Draft(), Seen(), False
        self.state = SimpleNamespace(previews=self)
        self.go = asyncio.Event()

    def checked(self) -> Checked:
        return Checked(LLMTrainingParams(model="gpt2", project_name="x", data_path=self.data), {})

    async def preview(self, params: Any, rows: int) -> dict[str, Any]:
        self.looked_at.append(params.data_path)
        await self.go.wait()
        if params.data_path == "bad":
            raise ConfigError("these can't be read")
        return {"problem": {"stage": "read", "text": "seen"}, "counts": None}


def test_data_that_are_chosen_while_others_fail_to_be_read_are_looked_into(monkeypatch: pytest.MonkeyPatch):
    async def use() -> None:
        monkeypatch.setattr(core, "loop", asyncio.get_running_loop())
        with Client(page("/new")) as client:
            wizard = Wizard()
            panel = PreviewPanel(SimpleNamespace(wizard=wizard), ui.element())  # pyright: ignore[reportArgumentType]
            first = asyncio.create_task(panel.look())
            await _until(lambda: wizard.looked_at == ["bad"])
            wizard.data = "good"
            await panel.look()  # the first goes on with it
            wizard.go.set()
            await first
            assert wizard.looked_at == ["bad", "good"]
            shown = [getattr(one, "text", "") for one in client.elements.values()]
            assert "seen" in shown and "these can't be read" not in shown
            client.delete()

    asyncio.run(use())


def test_data_of_the_hub_arent_waited_for_when_others_are_wanted(monkeypatch: pytest.MonkeyPatch):
    async def use() -> None:
        monkeypatch.setattr(core, "loop", asyncio.get_running_loop())
        with Client(page("/new")) as client:
            wizard = Wizard()
            wizard.draft = Draft(source=HUB)
            panel = PreviewPanel(SimpleNamespace(wizard=wizard), ui.element())  # pyright: ignore[reportArgumentType]
            first = asyncio.create_task(panel.look())
            await _until(lambda: wizard.looked_at == ["bad"])
            wizard.data = "good"
            await panel.look()
            await _until(lambda: wizard.looked_at == ["bad", "good"])
            wizard.go.set()
            await first
            assert "seen" in [getattr(one, "text", "") for one in client.elements.values()]
            client.delete()

    asyncio.run(use())


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)
