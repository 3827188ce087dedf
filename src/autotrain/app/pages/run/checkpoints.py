"""The saved states of a run."""

from pathlib import Path

from nicegui import ui

from autotrain.app.components.table import row, table
from autotrain.app.components.text import heading, paragraph
from autotrain.app.words import t
from autotrain.app.words.format import moment, number, size
from autotrain.run_folder import CHECKPOINTS
from autotrain.runs.removal import folder_bytes


class Checkpoints:
    """Drawn anew when there are others."""

    def __init__(self, folder: str) -> None:
        """folder: the run's, "" of a run in the cloud."""
        self._folder = Path(folder) / CHECKPOINTS if folder else None
        self._shown: list[int] | None = None
        heading(t("run.checkpoints"))
        paragraph(t("run.checkpoints_hint")).classes("at-muted")
        self._place = ui.element("div")
        self.refresh()

    def refresh(self) -> None:
        steps = steps_saved(self._folder) if self._folder else []
        if steps == self._shown:
            return
        self._shown = steps
        self._place.clear()
        with self._place:
            if not self._folder or not steps:
                paragraph(t("run.no_checkpoints"))
                return
            headers = [t(f"run.checkpoint_{name}") for name in ("step", "time", "size")]
            with table(t("run.checkpoints"), headers):
                for step in steps:
                    place = self._folder / f"checkpoint-{step}"
                    row((number(step), moment(place.stat().st_mtime), size(folder_bytes(place))))


def steps_saved(folder: Path) -> list[int]:
    """The steps of the checkpoints in `folder`, the latest first."""
    names = (place.name.removeprefix("checkpoint-") for place in folder.glob("checkpoint-*"))
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)
