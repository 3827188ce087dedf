"""What came out of each run so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nicegui import ui

from autotrain.app.components.panels import ACCURACY, EVAL
from autotrain.app.components.stage import restage, stage_chip
from autotrain.app.feeds import RunFeed, RunView
from autotrain.app.words import t
from autotrain.app.words.format import duration, number

_ROWS = ("steps", "loss", "eval_loss", "accuracy", "time")


@dataclass(frozen=True)
class Result:
    """values: of metrics, in the order in which they were logged, thinned."""

    view: RunView
    values: Mapping[str, list[float]]


class Results:
    """A column a run; `show` changes its cells.  What no run has isn't shown."""

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

    def read(self) -> dict[int, Result]:
        """In any thread."""
        return {run: Result(feed.view(), _values(feed)) for run, feed in self._feeds.items()}

    def show(self, results: Mapping[int, Result]) -> None:
        for run, result in results.items():
            restage(self._chips[run], result.view.stage)
            for row, text in cells_of(result).items():
                self._cells[row, run].text = text
        for row, line in self._lines.items():
            line.visible = any(self._cells[row, run].text not in ("", "–") for run in self._feeds)


def _values(feed: RunFeed) -> dict[str, list[float]]:
    history = feed.history((EVAL + "loss", ACCURACY, EVAL + ACCURACY, "seconds"))
    return {name: [point[1] for point in points] for name, points in history.items()}


def cells_of(result: Result) -> dict[str, str]:
    """What the table says of a run."""
    view, values = result.view, result.values
    losses, seconds = values[EVAL + "loss"], values["seconds"]
    accuracies = values[EVAL + ACCURACY] or values[ACCURACY]
    return {
        "steps": t("run.steps", step=number(view.step), total=number(view.total_steps)) if view.total_steps else "–",
        "loss": "–" if view.last_loss is None else number(view.last_loss),
        "eval_loss": number(min(losses)) if losses else "–",
        "accuracy": f"{100 * accuracies[-1]:.1f} %" if accuracies else "–",
        "time": duration(seconds[-1]) if seconds else "–",
    }
