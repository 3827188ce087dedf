"""The saved states of a run."""

from pathlib import Path
from typing import NamedTuple

from nicegui import ui

from autotrain.app.components.table import row, table
from autotrain.app.components.text import heading, paragraph
from autotrain.app.words import t
from autotrain.app.words.format import moment, number, size
from autotrain.run_folder import CHECKPOINTS
from autotrain.runs.removal import folder_bytes


class Checkpoint(NamedTuple):
    """saved: seconds since the epoch."""

    step: int
    saved: float
    num_bytes: int


class Checkpoints:
    """Drawn anew when there are others."""

    def __init__(self, folder: str) -> None:
        """folder: the run's, "" of a run in the cloud."""
        self._folder = Path(folder) / CHECKPOINTS if folder else None
        self._known: list[Checkpoint] = []
        self._shown: list[Checkpoint] | None = None
        heading(t("run.checkpoints"))
        paragraph(t("run.checkpoints_hint")).classes("at-muted")
        self._place = ui.element("div")

    def read(self) -> list[Checkpoint]:
        """In any thread.  The latest first."""
        steps = steps_saved(self._folder) if self._folder else []
        if self._folder and steps != [one.step for one in self._known]:
            self._known = [found for step in steps if (found := _look_at(self._folder, step))]
        return self._known

    def show(self, found: list[Checkpoint]) -> None:
        if found == self._shown:
            return
        self._shown = found
        self._place.clear()
        with self._place:
            if not found:
                paragraph(t("run.no_checkpoints"))
                return
            with table(t("run.checkpoints"), [t(f"run.checkpoint_{name}") for name in ("step", "time", "size")]):
                for one in found:
                    row((number(one.step), moment(one.saved), size(one.num_bytes)))


def _look_at(folder: Path, step: int) -> Checkpoint | None:
    place = folder / f"checkpoint-{step}"
    try:
        return Checkpoint(step, place.stat().st_mtime, folder_bytes(place))
    except OSError:
        return None  # a later one replaced it just now


def steps_saved(folder: Path) -> list[int]:
    """The steps of the checkpoints in `folder`, the latest first."""
    names = (place.name.removeprefix("checkpoint-") for place in folder.glob("checkpoint-*"))
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)
