"""Charts that grow while a run trains; can be zoomed and smoothed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nicegui
from nicegui import ui
from nicegui.element import Element

from autotrain.app.components.panels import Panel
from autotrain.app.words import CHINESE, language, t

# ECharts comes with NiceGUI.
_ECHARTS = Path(nicegui.__file__).parent / "elements" / "echart" / "dist"
_CSS = Path(__file__).with_suffix(".css")
_TEXTS = "tools smooth zoom_in zoom_out earlier later whole steps step last empty unreachable how".split()


class LivePlot(Element, component="live_plot.js", dependencies=["plot_drawing.js"], esm={"nicegui-echart": str(_ECHARTS)}):
    """Reads the past of its runs over REST, and hears of what comes after through `push`."""

    def __init__(self, base: str, runs: Sequence[int], panels: Sequence[Panel], name: str) -> None:
        """base: address of the runs' REST routes.  name: under which the browser remembers the zoom."""
        super().__init__()
        ui.add_css(_CSS)
        self._props["base"] = base
        self._props["runs"] = list(runs)
        self._props["name"] = name
        self._props["texts"] = {key: t(f"plot.{key}") for key in _TEXTS} | {
            "locale": "zh-CN" if language() == CHINESE else "en-GB"
        }
        self.show(panels)

    def show(self, panels: Sequence[Panel]) -> None:
        """Have these charts, say when a run logs a metric for the first time."""
        self._props["panels"] = [asdict(panel) for panel in panels]
        self.update()

    def push(self, run: int, before: int, after: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """rows: of the metrics of `run`, between these two positions.  A browser that misses something reads it all anew, as
        one does to which `after` comes before `before`.
        """
        series: dict[str, list[list[Any]]] = {}
        wanted = {line["metric"] for panel in self._props["panels"] for line in panel["lines"]}
        for row in rows:
            for name in wanted & row.keys():
                series.setdefault(name, []).append([row["step"], row[name]])
        self.run_method("push", run, before, after, series)
