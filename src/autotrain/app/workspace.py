"""The folder that the page works in.  Nothing outside it is read or written because of a name that somebody sent."""

from dataclasses import dataclass
from pathlib import Path

from autotrain.errors import ConfigError

_DATASETS = "datasets"


@dataclass(frozen=True)
class Workspace:
    """root: absolute."""

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", self.root.expanduser().resolve())

    def run(self, project_name: str) -> Path:
        """Folder of the run `project_name`, whether it is there or not.

        Raises ConfigError if it would lie elsewhere, or where the uploads do: they would go when the run is deleted.
        """
        if project_name.lower() == _DATASETS:
            raise ConfigError(f"project_name: {project_name} is the folder of the uploads; choose another name")
        return self._inside(self.root, project_name)

    @property
    def datasets(self) -> Path:
        return self.root / _DATASETS

    def dataset(self, identity: str) -> Path:
        """Folder of the upload `identity`.  Raises ConfigError if it would lie elsewhere."""
        return self._inside(self.datasets, identity)

    def holds(self, path: Path) -> bool:
        """Whether `path`, links followed, lies inside."""
        return path.resolve().is_relative_to(self.root)

    def _inside(self, folder: Path, name: str) -> Path:
        is_plain = name not in ("", ".", "..") and not any(mark in name for mark in ("/", "\\", "\0", ":"))
        path = folder / name if is_plain else None
        if path is None or not self.holds(path):
            raise ConfigError(f"'{name}' is no name of a folder here: use letters, digits, - and _, and no path")
        return path
