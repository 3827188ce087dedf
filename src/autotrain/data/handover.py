"""One process of a machine tokenizes, and hands the splits over to the others of the run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autotrain.data import cache
from autotrain.data.report import RowsReport
from autotrain.data.store import ExampleStore
from autotrain.errors import TrainingError


@dataclass(frozen=True)
class Handover:
    """folder: shared by the processes.  gives: whether this one tokenizes; the others call `take` when it is done."""

    folder: Path
    gives: bool

    def give(self, split: str, store: ExampleStore, rows: RowsReport, notices: Sequence[str]) -> None:
        """Write a split for the others.  Raises TrainingError where the folder has no room for it."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            cache.write_split(self.folder / _name(split), split, store, rows, notices)
        except OSError as problem:
            raise TrainingError(
                f"the tokenized data can't be handed to the other processes: {self.folder}: {problem.strerror}; set TMPDIR "
                "to a folder with more room"
            ) from problem

    def take(self, split: str) -> cache.Kept | None:
        """The split as it was given; None for the process that gives."""
        if self.gives:
            return None
        kept = cache.read_split(self.folder / _name(split), split)
        if kept is None:
            raise TrainingError(f"the tokenized data of split {split} are missing in {self.folder}: somebody deleted them")
        return kept


def _name(split: str) -> str:
    return f"split-{split.encode().hex()}"
