"""What came out of each run so far."""

from collections.abc import Mapping, Sequence

from nicegui import ui

from autotrain.app.components.panels import ACCURACY, EVAL
from autotrain.app.components.stage import restage, stage_chip
from autotrain.app.feeds import RunFeed
from autotrain.app.words import t
from autotrain.app.words.format import duration, number

_ROWS = ("steps", "loss", "eval_loss", "accuracy", "time")


class Results:
    """A column a run; `refresh` changes its cells.  What no run has isn't shown."""

    def __init__(self, feeds: Mapping[int, RunFeed], names: Mapping[int, str]) -> None:
        self._feeds = feeds
        self._chips: dict[int, ui.label] = {}
        self._lines: dict[str, ui.element] = {}
        self._cells: dict[tuple[str, int], ui.label] = {}
        label = t("compare.results")
        with (
            ui.element("div").classes("at-scroll").props(f'tabindex=0 role=region aria-label="{label}"'),
            ui.element("table").classes("at-table"),
        ):
            with ui.element("thead"), ui.element("tr"):
                ui.element("td")
                for run, name in names.items():
                    with ui.element("th").props("scope=col"):
                        self._header(run, name, list(names))
            with ui.element("tbody"):
                for row in _ROWS:
                    self._row(row)
        for run in feeds:
            self.refresh(run)

    def _header(self, run: int, name: str, others: Sequence[int]) -> None:
        ui.link(name, f"/run/{run}")
        self._chips[run] = stage_chip(self._feeds[run].view().stage)
        if len(others) > 2:
            rest = ",".join(str(one) for one in others if one != run)
            ui.link(t("compare.without"), f"/compare?ids={rest}").classes("at-small").props(
                f'aria-label="{t("compare.without_run", name=name)}"'
            )

    def _row(self, row: str) -> None:
        with ui.element("tr") as self._lines[row]:
            with ui.element("th").props("scope=row"):
                ui.label(t(f"compare.{row}"))
                ui.label(t(f"compare.{row}_hint")).classes("at-muted at-small at-plain")
            for run in self._feeds:
                with ui.element("td"):
                    self._cells[row, run] = ui.label()

    def refresh(self, run: int) -> None:
        feed = self._feeds[run]
        view = feed.view()
        restage(self._chips[run], view.stage)
        history = feed.history((EVAL + "loss", ACCURACY, EVAL + ACCURACY, "seconds"))
        values = {name: [value for _, value in points] for name, points in history.items()}
        accuracies = values[EVAL + ACCURACY] or values[ACCURACY]
        seconds = values["seconds"]
        shown = {
            "steps": t("run.steps", step=number(view.step), total=number(view.total_steps)) if view.total_steps else "–",
            "loss": "–" if view.last_loss is None else number(view.last_loss),
            "eval_loss": number(min(values[EVAL + "loss"])) if values[EVAL + "loss"] else "–",
            "accuracy": f"{100 * accuracies[-1]:.1f} %" if accuracies else "–",
            "time": duration(seconds[-1]) if seconds else "–",
        }
        for row, text in shown.items():
            self._cells[row, run].text = text
        for row, line in self._lines.items():
            line.visible = any(self._cells[row, one].text not in ("", "–") for one in self._feeds)
