"""What can be done with the run: stop, resume, run again, try, note, delete."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from nicegui import ui

from autotrain.app.components.confirm import Confirm
from autotrain.app.feeds import RunView
from autotrain.app.state import AppState
from autotrain.app.talks.subject import has_result
from autotrain.app.words import as_said, t
from autotrain.errors import AutoTrainError


class Actions:
    """Buttons, of which `show` lets those be seen that make sense now."""

    def __init__(self, state: AppState, view: RunView) -> None:
        self._state, self._number = state, view.number
        self._stop = self._question("stop", lambda _: state.queue.stop(view.number))
        self._stop_now = self._question("stop_now", lambda _: state.queue.stop(view.number, now=True))
        self._remove = self._question("remove", self._removed, tick=t("run.remove_folder"))
        with ui.element("div").classes("at-row at-run-actions"):
            self._buttons = {
                "stop": _button("stop", lambda: self._stop.open(), "negative"),
                "stop_now": _button("stop_now", lambda: self._stop_now.open(), "negative"),
                "leave": _button("leave", lambda: self._do(state.queue.stop(view.number))),
                "resume": _button("resume", lambda: self._do(state.queue.resume(view.number))),
                "try": _button("try", lambda: ui.navigate.to(f"/chat?run={view.number}")),
                "after": _button("after", lambda: ui.navigate.to(f"/run/{view.number}/after")).props("outline"),
                "again": _button("again", lambda: ui.navigate.to(f"/new?from={view.number}")).props("outline"),
                "remove": _button("remove", lambda: self._remove.open()).props("flat"),
            }

    def show(self, view: RunView) -> None:
        is_waiting = view.stage == "waiting"
        is_leaving = self._state.queue.is_stopping(view.number)  # it has saved, and its processes are ending
        has_model = not view.is_live and view.folder != "" and has_result(Path(view.folder))
        shown = {
            "stop": view.is_live and not is_waiting and not view.is_stopping,
            "stop_now": view.is_stopping,
            "leave": is_waiting,
            "resume": view.can_resume and not is_leaving,
            "try": has_model,
            "after": has_model,
            "again": True,
            "remove": not view.is_live and not is_leaving,
        }
        for name, is_shown in shown.items():
            self._buttons[name].visible = is_shown

    def _question(self, name: str, act: Callable[[bool], Awaitable[object]], tick: str = "") -> Confirm:
        async def confirmed(is_ticked: bool) -> None:
            await self._do(act(is_ticked))

        return Confirm(t(f"run.{name}_question"), t(f"run.{name}_explained"), t(f"run.{name}_yes"), confirmed, tick)

    async def _do(self, work: Awaitable[object]) -> None:
        """Says what went wrong, if something did."""
        try:
            await work
        except AutoTrainError as problem:
            ui.notify(as_said(problem), type="negative", multi_line=True, timeout=10_000, close_button=t("run.close"))

    async def _removed(self, with_folder: bool) -> None:
        await self._state.queue.remove(self._number, with_folder=with_folder)
        ui.navigate.to("/runs")


def _button(name: str, act: Callable[[], object], colour: str = "primary") -> ui.button:
    return ui.button(t(f"run.{name}"), on_click=act, color=colour).props(f"data-action={name}")
