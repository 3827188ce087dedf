"""A run folder that lies on another machine comes back in pieces, each file whole or not at all."""

import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from autotrain.run_folder import CHECKPOINTS, LOCK_FILE, STATE_FILE

PIECE_BYTES = 4 << 20
_ARRIVING = ".tmp-arriving"


@dataclass(frozen=True)
class Piece:
    """Bytes of the file at `path`, below the run folder.  The last piece of a file makes it appear."""

    path: str
    data: bytes = field(repr=False)
    is_first: bool
    is_last: bool


@dataclass(frozen=True)
class Moved:
    """A folder that has arrived whole gets its name."""

    before: str
    after: str


@dataclass(frozen=True)
class Gone:
    """A file or folder that was deleted."""

    path: str


Change = Piece | Moved | Gone
_Stamp = tuple[int, int, int]


class Watch:
    """What changes in `folder`, told once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: dict[str, _Stamp] = {}

    def changes(self) -> Generator[Change]:
        """Since the last time.  state.json comes last, so that it never says more than has arrived."""
        now = dict(_stamps(self._folder))
        for path in [path for path in self._told if path not in now]:
            del self._told[path]
            checkpoint = _checkpoint_of(path)
            if checkpoint is None:
                yield Gone(path)
            elif not any(_checkpoint_of(other) == checkpoint for other in self._told):
                yield Gone(checkpoint)
        new = sorted(
            (path for path in now if self._told.get(path) != now[path]), key=lambda path: (path == STATE_FILE, path)
        )
        checkpoints = dict.fromkeys(filter(None, map(_checkpoint_of, new)))
        for checkpoint in checkpoints:
            yield from self._checkpoint(checkpoint, now)
        for path in new:
            if _checkpoint_of(path) is None:
                yield from _pieces(self._folder / path, path)
                self._told[path] = now[path]

    def _checkpoint(self, checkpoint: str, now: dict[str, _Stamp]) -> Generator[Change]:
        """Appears whole or not at all on the other side, too."""
        parent, _, name = checkpoint.rpartition("/")
        arriving = f"{parent}/.tmp-{name}"
        yield Gone(arriving)
        for path in sorted(path for path in now if _checkpoint_of(path) == checkpoint):
            yield from _pieces(self._folder / path, arriving + path.removeprefix(checkpoint))
            self._told[path] = now[path]
        if (self._folder / checkpoint).is_dir():  # else it was deleted meanwhile
            yield Moved(arriving, checkpoint)


def all_pieces(folder: Path) -> Generator[Piece]:
    """Every file of `folder`."""
    for path, _ in sorted(_stamps(folder)):
        yield from _pieces(folder / path, path)


def apply(folder: Path, change: Change) -> None:
    """Do in `folder` what was done elsewhere.  Raises ValueError for a path that leads out of it."""
    if isinstance(change, Gone):
        _delete(_inside(folder, change.path))
    elif isinstance(change, Moved):
        after = _inside(folder, change.after)
        _delete(after)
        _inside(folder, change.before).rename(after)
    else:
        _write(folder, change)


def _write(folder: Path, piece: Piece) -> None:
    file = _inside(folder, piece.path)
    file.parent.mkdir(parents=True, exist_ok=True)
    arriving = file.with_name(f"{_ARRIVING}-{file.name}")
    with arriving.open("wb" if piece.is_first else "ab") as opened:
        opened.write(piece.data)
    if piece.is_last:
        arriving.replace(file)


def _stamps(folder: Path) -> Generator[tuple[str, _Stamp]]:
    """Relative path, and what differs once a file was changed or replaced."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".tmp-"))
        for name in names:
            file = Path(place) / name
            if name.startswith(".tmp-") or name == LOCK_FILE:
                continue
            try:
                facts = file.stat()
            except OSError:
                continue  # deleted meanwhile, or a link that leads nowhere
            yield file.relative_to(folder).as_posix(), (facts.st_ino, facts.st_size, facts.st_mtime_ns)


def _pieces(file: Path, path: str) -> Generator[Piece]:
    try:
        opened = file.open("rb")
    except FileNotFoundError:
        return  # it is told the next time
    with opened:
        data, is_first = opened.read(PIECE_BYTES), True
        while True:
            following = opened.read(PIECE_BYTES) if len(data) == PIECE_BYTES else b""
            yield Piece(path, data, is_first, not following)
            if not following:
                return
            data, is_first = following, False


def _checkpoint_of(path: str) -> str | None:
    """The folder of the checkpoint that a file belongs to."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[:2]) if len(parts) > 2 and parts[0] == CHECKPOINTS else None


def _inside(folder: Path, path: str) -> Path:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute():
        raise ValueError(f"{path!r} leads out of the run folder")
    return folder.joinpath(*parts)


def _delete(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)
