"""Which parameters differ between runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from nicegui import ui

from autotrain.app.components.table import table
from autotrain.app.components.text import paragraph
from autotrain.app.feeds import RunFeed
from autotrain.app.words import t
from autotrain.errors import RunFolderError

# A name of its own is what every run has; the rest isn't about training.
_NOT_COMPARED = frozenset({"project_name", "token", "set_by_user"})

Values = Mapping[str, Any]


class Parameters:
    """A table of what differs, or of everything."""

    def __init__(self, feeds: Mapping[int, RunFeed], names: Mapping[int, str]) -> None:
        self._values, self._names = [_values(feed) for feed in feeds.values()], list(names.values())
        if not all(self._values):
            paragraph(t("compare.unknown")).classes("at-warn")
        ui.switch(t("compare.all_parameters"), on_change=lambda event: self._draw(is_all=bool(event.value)))
        self._place = ui.element("div")
        self._draw(is_all=False)

    def _draw(self, *, is_all: bool) -> None:
        found = (
            list(dict.fromkeys(name for values in self._values for name in values)) if is_all else differing(self._values)
        )
        self._place.clear()
        with self._place:
            if not found:
                paragraph(t("compare.none_differ")).classes("at-muted")
                return
            with table(t("compare.parameters"), ["", *self._names]):
                for name in found:
                    self._row(name)

    def _row(self, name: str) -> None:
        with ui.element("tr"):
            with ui.element("th").props("scope=row"):
                ui.label(t(f"parameters.{name}"))
                ui.label(name).classes("at-muted at-mono at-plain")
            for values in self._values:
                with ui.element("td"):
                    ui.label(written(values.get(name)))


def differing(parameters: Sequence[Values]) -> list[str]:
    """Names of those whose values aren't the same in all; of runs whose parameters are known."""
    known = [values for values in parameters if values]
    names = dict.fromkeys(name for values in known for name in values)
    return [name for name in names if len({written(values.get(name)) for values in known}) > 1]


def written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    return "–" if value is None else str(value)


def _values(feed: RunFeed) -> Values:
    """{} where they aren't known any more."""
    try:
        params = feed.params()
    except RunFolderError:
        return {}
    return params.model_dump(mode="json", exclude=set(_NOT_COMPARED))
