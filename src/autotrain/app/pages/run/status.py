"""Where the run stands: a line, a bar, and what it is."""

from nicegui import ui

from autotrain.app.components.stage import restage, stage_chip
from autotrain.app.feeds import RunView
from autotrain.app.words import t, translated
from autotrain.app.words.format import duration, moment, number

_FACTS = ("base_model", "method", "place", "started", "loss")


class Status:
    """Built once; `show` changes what differs."""

    def __init__(self, view: RunView) -> None:
        with ui.element("div").classes("at-row"):
            self._chip = stage_chip(view.stage)
            self._line = ui.label().classes("at-run-line").props("role=status")
        self._bar = ui.linear_progress(0, show_value=False, size="10px").props(f'rounded aria-label="{t("run.progress")}"')
        self._values: dict[str, ui.label] = {}
        with ui.element("dl").classes("at-run-facts"):
            for name in _FACTS:
                with ui.element("div"):
                    with ui.element("dt").classes("at-muted at-small"):
                        ui.label(t(f"run.{name}"))
                    with ui.element("dd"):
                        self._values[name] = ui.label()
        if view.url:
            ui.link(t("run.on_the_hub"), view.url, new_tab=True)

    def show(self, view: RunView) -> None:
        restage(self._chip, view.stage)
        self._line.text = line_of(view)
        self._bar.value = round(view.step / view.total_steps, 4) if view.total_steps else 0
        self._bar.visible = view.total_steps > 0 and view.stage != "gone"
        for name, value in zip(_FACTS, facts_of(view), strict=True):
            self._values[name].text = value


def facts_of(view: RunView) -> tuple[str, ...]:
    """In the order of `_FACTS`."""
    loss = "–" if view.last_loss is None else number(view.last_loss)
    return view.base_model or "–", method_of(view.trainer), place_of(view.backend), moment(view.started), loss


def method_of(trainer: str) -> str:
    return translated(f"run.trainer_{trainer}") or trainer or "–"


def place_of(backend: str) -> str:
    return t("run.here") if backend.startswith("local") else backend


def short_line_of(view: RunView) -> str:
    """What the word for its stage doesn't say, for the list."""
    if view.stage in ("starting", "finishing", "finished"):
        return ""
    if view.stage == "waiting":
        return t("run.place_in_queue", place=view.position_in_queue)
    return _steps(view) if _is_before_first_step(view) else line_of(view)


def line_of(view: RunView) -> str:
    """What happens now, in a sentence."""
    if view.is_stopping:
        return t("run.is_stopping")
    if view.stage == "waiting":
        return t("run.is_waiting", place=view.position_in_queue)
    if view.stage in ("starting", "finishing"):
        return t(f"run.is_{view.stage}")
    if _is_before_first_step(view):
        return t("run.is_measuring")
    left = t("run.left", time=duration(view.seconds_left)) if view.stage == "training" and view.seconds_left else ""
    took = t("run.took", time=duration(view.ended - view.started)) if view.stage == "finished" and view.ended else ""
    return " · ".join(part for part in (_steps(view), left, took) if part)


def _steps(view: RunView) -> str:
    return t("run.steps", step=number(view.step), total=number(view.total_steps)) if view.total_steps else ""


def _is_before_first_step(view: RunView) -> bool:
    return view.stage == "training" and view.step == 0
