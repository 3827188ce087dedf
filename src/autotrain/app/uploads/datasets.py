"""Data sets that were uploaded: each a folder of the workspace with a name of our own, its files `train` and `valid`."""

import asyncio
import errno
import json
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import AsyncIterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autotrain.app.uploads.contents import look_into
from autotrain.app.uploads.holding import can_hold_back, hold_back
from autotrain.app.uploads.mend import mend
from autotrain.app.uploads.refused import Note, Refused
from autotrain.app.workspace import Workspace
from autotrain.config.data_files import SUFFIXES
from autotrain.run_folder import write_text

TRAIN, VALID = "train", "valid"
MAX_NAME_CHARACTERS = 100
# Converting needs the file a second time; a disk that is full would stop runs.
_SPARE_BYTES = 200 * 1024**2
_ABOUT, _PART, _WHOLE = "about.json", "part", "whole"
_IDENTITY = re.compile(r"[0-9a-f]{16}")
# A part that nobody wrote to for so long is of a server that was killed in the middle.
_DEAD_SECONDS = 600.0


@dataclass(frozen=True)
class File:
    """name: as the user calls it, shown and never opened.  kind: csv, jsonl, json, parquet or txt."""

    name: str
    kind: str
    num_bytes: int
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """uploaded: seconds since the epoch.  files: of each split.

    held_back: rows of the training file that are only validated on; 0 if there are none, or a file of their own.
    """

    identity: str
    folder: Path
    uploaded: float
    files: Mapping[str, File] = field(default_factory=lambda: MappingProxyType({}))
    held_back: int = 0

    @property
    def name(self) -> str:
        """As its training file is called."""
        return self.files[TRAIN].name if TRAIN in self.files else self.identity

    @property
    def has_valid(self) -> bool:
        return VALID in self.files

    def with_own_names(self, text: str) -> str:
        """A message of a worker, with the user's names for our files."""
        for split, file in self.files.items():
            text = text.replace(str(self.folder / f"{split}.{file.kind}"), file.name)
        return text.replace(f"{self.folder}/", "").replace(str(self.folder), self.name)


class Datasets:
    """Takes uploads, and finds them again."""

    def __init__(self, workspace: Workspace, max_bytes: int) -> None:
        self._workspace, self._max_bytes = workspace, max_bytes

    @property
    def max_bytes(self) -> int:
        return self._max_bytes

    async def take(self, name: str, body: AsyncIterable[bytes], to: str | None = None) -> DataSet:
        """Store an upload, and make of it what can be read.

        to: the data set that it is the validation file of.  Raises Refused; then nothing is left of it.
        """
        found = self.find(to) if to is not None else None
        await asyncio.to_thread(self._tidy)
        identity = found.identity if found else secrets.token_hex(8)
        folder = self._workspace.dataset(identity)
        part = folder / f"{_PART}-{secrets.token_hex(4)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            await self._receive(part, body)
            dataset = found or DataSet(identity, folder, time.time())
            return await asyncio.to_thread(_accept, dataset, part, shown_name(name), VALID if found else TRAIN)
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise Refused("disk_full", 507) from problem
            raise
        finally:
            part.unlink(missing_ok=True)
            if not (folder / _ABOUT).is_file():
                shutil.rmtree(folder, ignore_errors=True)

    async def _receive(self, part: Path, body: AsyncIterable[bytes]) -> None:
        part.touch(mode=0o600)
        num_bytes = 0
        with part.open("wb") as file:
            async for chunk in body:
                num_bytes += len(chunk)
                if num_bytes > self._max_bytes:
                    raise Refused("too_large", 413, limit=self._max_bytes // 1024**2)
                if shutil.disk_usage(part.parent).free < _SPARE_BYTES + num_bytes:
                    raise Refused("disk_full", 507)
                file.write(chunk)
        if not num_bytes:
            raise Refused("empty")

    def _tidy(self) -> None:
        """Delete what uploads left that died with their server."""
        for part in self._workspace.datasets.glob(f"*/{_PART}-*"):
            folder = part.parent
            with suppress(OSError):  # somebody else was faster
                if not _IDENTITY.fullmatch(folder.name) or time.time() - part.stat().st_mtime < _DEAD_SECONDS:
                    continue
                part.unlink()
                if not any(folder.iterdir()):
                    folder.rmdir()

    def find(self, identity: str) -> DataSet:
        """Raises Refused if there is none."""
        if not _IDENTITY.fullmatch(identity):
            raise Refused("unknown", 404)
        folder = self._workspace.dataset(identity)
        try:
            return _read_about(folder)
        except (OSError, ValueError, KeyError, TypeError):
            raise Refused("unknown", 404) from None

    def all(self) -> list[DataSet]:
        """The newest first."""
        folders = self._workspace.datasets.glob("*/") if self._workspace.datasets.is_dir() else ()
        found: list[DataSet] = []
        for folder in folders:
            if _IDENTITY.fullmatch(folder.name):
                try:
                    found.append(_read_about(folder))
                except (OSError, ValueError, KeyError, TypeError):
                    continue
        return sorted(found, key=lambda one: -one.uploaded)

    def remove(self, identity: str) -> None:
        """Raises Refused if there is none."""
        shutil.rmtree(self.find(identity).folder)

    def drop_valid(self, identity: str) -> DataSet:
        """Without its validation file, or with the rows that were held back for it."""
        dataset = self.find(identity)
        _unlink_split(dataset.folder, VALID)
        _take_back(dataset)
        files = {split: file for split, file in dataset.files.items() if split != VALID}
        return _write_about(replace(dataset, files=MappingProxyType(files), held_back=0))

    def hold_back(self, identity: str) -> DataSet:
        """A tenth of the rows, at most 50, is only validated on.

        None where they are few, can't be told apart here, or don't fit on the disk a second time.
        """
        dataset = self.find(identity)
        file = dataset.files[TRAIN]
        whole, train = dataset.folder / f"{_WHOLE}.{file.kind}", dataset.folder / f"{TRAIN}.{file.kind}"
        if dataset.has_valid or not can_hold_back(train, file.kind):
            return dataset
        valid = dataset.folder / f"{VALID}.{file.kind}"
        train.rename(whole)
        try:
            count = hold_back(whole, file.kind, train, valid)
        except OSError:  # a full disk is no reason not to train
            count = 0
        except BaseException:
            whole.replace(train)
            raise
        if not count:
            whole.replace(train)
            _unlink_split(dataset.folder, VALID)
            return dataset
        held = replace(file, num_bytes=valid.stat().st_size, notes=())
        files = {**dataset.files, VALID: held}
        return _write_about(replace(dataset, files=MappingProxyType(files), held_back=count))


def shown_name(name: str) -> str:
    """The last part of what a browser calls a file, without what can't be seen."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(character for character in last if unicodedata.category(character)[0] != "C").strip(" .")
    return clean[-MAX_NAME_CHARACTERS:] or "data"


def _accept(dataset: DataSet, part: Path, name: str, split: str) -> DataSet:
    contents = look_into(part, name)
    made = dataset.folder / f"{_PART}-{split}.{contents.kind}"
    try:
        notes = mend(part, made, contents)
        _unlink_split(dataset.folder, split)
        made.rename(dataset.folder / f"{split}.{contents.kind}")
    finally:
        made.unlink(missing_ok=True)
    target = dataset.folder / f"{split}.{contents.kind}"
    file = File(name, contents.kind, target.stat().st_size, tuple(notes))
    _take_back(dataset)
    return _write_about(replace(dataset, files=MappingProxyType({**dataset.files, split: file}), held_back=0))


def _take_back(dataset: DataSet) -> None:
    """Train on all rows again."""
    if dataset.held_back:
        kind = dataset.files[TRAIN].kind
        (dataset.folder / f"{_WHOLE}.{kind}").replace(dataset.folder / f"{TRAIN}.{kind}")


def _unlink_split(folder: Path, split: str) -> None:
    for suffix in SUFFIXES:
        (folder / f"{split}{suffix}").unlink(missing_ok=True)


def _write_about(dataset: DataSet) -> DataSet:
    files = {split: _file_as_dict(file) for split, file in dataset.files.items()}
    about = {"uploaded": dataset.uploaded, "files": files, "held_back": dataset.held_back}
    write_text(dataset.folder / _ABOUT, json.dumps(about, ensure_ascii=False))
    return dataset


def _file_as_dict(file: File) -> dict[str, Any]:
    notes = [[note.key, dict(note.values)] for note in file.notes]
    return {"name": file.name, "kind": file.kind, "num_bytes": file.num_bytes, "notes": notes}


def _read_about(folder: Path) -> DataSet:
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    files = {
        str(split): File(
            str(one["name"]),
            str(one["kind"]),
            int(one["num_bytes"]),
            tuple(Note(str(key), values) for key, values in one["notes"]),
        )
        for split, one in about["files"].items()
    }
    return DataSet(folder.name, folder, float(about["uploaded"]), MappingProxyType(files), int(about.get("held_back", 0)))
