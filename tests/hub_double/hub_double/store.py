"""Repositories on disk: every file by its content, every commit kept."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hub_double.protocol import now


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(sha256: str, size: int) -> bytes:
    """What git holds in place of a large file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@dataclass(frozen=True)
class StoredFile:
    """oid: git's, of the content or of a large file's pointer. size: in bytes, of the content."""

    oid: str
    sha256: str
    size: int
    is_lfs: bool


@dataclass(frozen=True)
class Commit:
    id: str
    parent: str | None
    title: str
    description: str
    author: str
    date: str
    files: dict[str, StoredFile]


class Blobs:
    """Contents by their SHA-256, one file each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, content: bytes) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        if not self.has(sha256):
            (self.folder / sha256).write_bytes(content)
        return sha256

    def has(self, sha256: str) -> bool:
        return (self.folder / sha256).is_file()

    def get(self, sha256: str) -> bytes:
        return (self.folder / sha256).read_bytes()

    def size(self, sha256: str) -> int:
        return (self.folder / sha256).stat().st_size

    def regular(self, content: bytes) -> StoredFile:
        return StoredFile(git_oid(content), self.put(content), len(content), is_lfs=False)

    def large(self, sha256: str) -> StoredFile:
        """Of a content that is stored already."""
        size = self.size(sha256)
        return StoredFile(git_oid(pointer(sha256, size)), sha256, size, is_lfs=True)


@dataclass
class Repository:
    """folder: holds repository.json (settings, branches, tags) and commits/ID.json.
    gated: False, "auto" or "manual"; granted: names of users whose request for access was granted."""

    kind: str
    id: str
    folder: Path
    private: bool = False
    gated: str | bool = False
    sdk: str | None = None
    created_at: str = field(default_factory=now)
    granted: set[str] = field(default_factory=set)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    @property
    def web_path(self) -> str:
        return self.id if self.kind == "model" else f"{self.kind}s/{self.id}"

    def find(self, revision: str) -> Commit | None:
        """revision: a branch, a tag, or the first digits of a commit."""
        revision = revision.removeprefix("refs/heads/").removeprefix("refs/tags/")
        known = self.branches.get(revision) or self.tags.get(revision)
        if known is None and len(revision) >= 7:
            known = next((each for each in self.commits if each.startswith(revision)), None)
        return None if known is None else self.commits[known]

    def head(self) -> Commit:
        return self.commits[self.branches["main"]]

    def commit(
        self, branch: str, files: Mapping[str, StoredFile], title: str, description: str = "", author: str = "hub"
    ) -> Commit:
        """files: the whole tree after the commit."""
        parent = self.branches.get(branch)
        date = now()
        described = json.dumps([parent, title, date, len(self.commits), sorted((n, f.sha256) for n, f in files.items())])
        made = Commit(
            hashlib.sha1(described.encode()).hexdigest(),
            parent,
            title,
            description,
            author,
            date,
            dict(sorted(files.items())),
        )
        self.commits[made.id] = made
        self.branches[branch] = made.id
        commits = self.folder / "commits"
        commits.mkdir(parents=True, exist_ok=True)
        (commits / f"{made.id}.json").write_text(json.dumps(asdict(made), indent=1), encoding="utf-8")
        self.save()
        return made

    def history(self, revision: str) -> list[Commit]:
        """Newest first."""
        found: list[Commit] = []
        commit = self.find(revision)
        while commit is not None:
            found.append(commit)
            commit = self.commits.get(commit.parent) if commit.parent else None
        return found

    def save(self) -> None:
        kept: dict[str, Any] = {
            "kind": self.kind,
            "id": self.id,
            "private": self.private,
            "gated": self.gated,
            "sdk": self.sdk,
            "branches": self.branches,
            "tags": self.tags,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "repository.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
