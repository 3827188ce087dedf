"""Which file, or which hub data set, a path and a split stand for: by names alone, nothing is read."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from autotrain import log
from autotrain.errors import DataError
from autotrain.trainers.clm.params import PARAMS_FILE

# What data files end in, in the order in which they are looked for.
SUFFIXES = (".csv", ".jsonl", ".json", ".parquet", ".txt")
NUM_NAMES_SHOWN = 12
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class HubSplit:
    """A split of a data set on the hub."""

    name: str
    config: str | None
    split: str

    def __str__(self) -> str:
        config = f", config {self.config}" if self.config else ""
        return f"{self.name}[{self.split}]{config}"


def locate(data_path: str, split: str, *, is_valid: bool = False) -> Path | HubSplit:
    """The file or hub split that is meant.  Raises DataError that lists what is there."""
    path = Path(data_path).expanduser()
    if path.is_file():
        return _beside(path, split) if is_valid else _checked(path)
    if path.is_dir():
        return _in_folder(path, split)
    if _is_local_name(data_path):
        raise DataError(f"data.path: no file or folder {data_path}{_nearest_neighbour(path)}")
    return parse_hub_split(data_path, split)


def is_local(data_path: str) -> bool:
    """Whether a file or folder is meant, be it there or not, and no data set of the hub."""
    return Path(data_path).expanduser().exists() or _is_local_name(data_path)


def parse_hub_split(name: str, split: str) -> HubSplit:
    """`config:split` names a config; the colon of a slice such as `train[:100]` doesn't."""
    before, colon, after = split.partition(":")
    if colon and "[" not in before:
        return HubSplit(name, before or None, after)
    return HubSplit(name, None, split)


def describe_missing(data_path: str) -> str:
    """Hint at local names near a data path that was taken for a hub data set."""
    return _nearest_neighbour(Path(data_path))


def _is_local_name(name: str) -> bool:
    suffix = Path(name).suffix.lower()
    return (
        suffix in SUFFIXES or name.startswith((".", "~", "/")) or not _HUB_NAME.fullmatch(name) or _is_misspelt(Path(name))
    )


def _is_misspelt(path: Path) -> bool:
    """Whether a name such as `data/chats` comes close to something in a local folder `data`."""
    if len(path.parts) < 2 or not path.parent.is_dir():
        return False
    return bool(difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1, cutoff=0.6))


def _checked(path: Path) -> Path:
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"data.path: {path} is no data file; its name must end in {_extensions()}")
    return path


def _extensions() -> str:
    return ", ".join(SUFFIXES)


def _beside(path: Path, split: str) -> Path:
    """The validation split of a data path that is a file: another file, or a split in the same folder."""
    other = Path(split).expanduser()
    for candidate in (other, path.parent / split):
        if candidate.is_file():
            return _checked(candidate)
    try:
        return _in_folder(path.parent, split)
    except DataError as error:
        raise DataError(
            f"{error}. data.path is the file {path}, so valid_split is the path to a file, or the name of one beside it"
        ) from None


def _in_folder(folder: Path, split: str) -> Path:
    if Path(split).suffix.lower() in SUFFIXES and (folder / split).is_file():
        return folder / split
    found = [folder / f"{split}{suffix}" for suffix in SUFFIXES if (folder / f"{split}{suffix}").is_file()]
    if not found:
        raise DataError(_missing_split(folder, split))
    if len(found) > 1:
        others = ", ".join(path.name for path in found[1:])
        log.notice(f"{folder} has several files for the split '{split}'; {found[0].name} is taken, not {others}")
    return found[0]


def _missing_split(folder: Path, split: str) -> str:
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix.lower() in SUFFIXES)
    names = [name for name in names if name != PARAMS_FILE]
    where = folder if str(folder) != "." else folder.resolve()
    wanted = f"{split}.csv|jsonl|json|parquet|txt"
    if not names:
        others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        there = f", only {_shown(others)}" if others else ""
        return f"no split '{split}' in {where}: there should be a file {wanted}; the folder holds no data files{there}"
    near = difflib.get_close_matches(split, [Path(name).stem for name in names], n=1, cutoff=0.5)
    guess = f"; did you mean '{near[0]}'?" if near else ""
    local = " A slice or a config is for hub data sets only." if set(split) & set("[:") else ""
    return f"no split '{split}' in {where}: there should be a file {wanted}; it holds {_shown(names)}{guess}{local}"


def _shown(names: list[str]) -> str:
    more = f" and {len(names) - NUM_NAMES_SHOWN} more" if len(names) > NUM_NAMES_SHOWN else ""
    return ", ".join(names[:NUM_NAMES_SHOWN]) + more


def _nearest_neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    names = sorted(entry.name for entry in path.parent.iterdir() if not entry.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {path.parent / near[0]}?"
    names = [name for name in names if (path.parent / name).is_dir() or Path(name).suffix.lower() in SUFFIXES]
    return f"; {path.parent.resolve()} holds {_shown(names)}" if names else ""
