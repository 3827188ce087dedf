"""The double itself: what the tests hold in their hands."""

import shutil
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from hub_double import hardware
from hub_double.accounts import Accounts, User
from hub_double.commits import uploaded
from hub_double.discussions import Discussion
from hub_double.failures import Failure, Failures, Kind
from hub_double.jobs import Job
from hub_double.oauth import Grant
from hub_double.protocol import Request
from hub_double.server import Server
from hub_double.spaces import Spaces
from hub_double.store import Blobs, Repository


class HubDouble:
    """A hub on a free port of loopback, its repositories under `root`.

    url: for HF_ENDPOINT. requests: everything that came in. faults: tracebacks of the double itself; there should be none.
    large_from_bytes: files of this size go through LFS whatever their name. part_bytes: LFS files above it go in parts.
    page_entries: of a page of a listing. person: the user at the browser, who signs in where a Space asks; None: refuses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = Blobs(root / "blobs")
        self.accounts, self.failures = Accounts(), Failures()
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.spaces, self.jobs = Spaces(self), dict[tuple[str, str], Job]()
        self.spaces_hardware, self.jobs_hardware = hardware.of_spaces(), hardware.of_jobs()
        self.awaited: dict[str, int] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.buckets: dict[str, dict[str, Any]] = {}
        self.person: str | None = None
        self.grants: dict[str, Grant] = {}
        self.requests: list[Request] = []
        self.faults: list[str] = []
        self.large_from_bytes, self.part_bytes, self.page_entries = 10_000_000, 8_000_000, 1000
        self.keep_alive_seconds = 15.0
        self.closed = False
        self.changed = threading.Condition(threading.RLock())
        self._discussions: dict[tuple[str, str], list[Discussion]] = {}
        self._server = Server(self)
        port = self._server.server_address[1]
        self.url, self.storage_url = f"http://127.0.0.1:{port}", f"http://localhost:{port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="hub-double", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        for failure in self.failures.waiting:
            failure.over.set()
        self._server.shutdown()
        self._server.server_close()

    def add_user(
        self,
        name: str,
        token: str = "",
        role: str = "write",
        orgs: Mapping[str, str] | Iterable[str] = (),
        can_pay: bool = True,
        scopes: Mapping[str, Iterable[str]] | Iterable[str] | None = None,
        can_read_gated: bool = False,
        private_storage_bytes: int | None = None,
    ) -> User:
        """role: of the token: read, write or fineGrained. orgs: organisation -> role in it (admin, write, contributor,
        read), or their names alone. scopes: of a fine-grained token: permissions in the user's own namespace, or
        namespace -> permissions. Called again with another token, the user has both."""
        token = token or f"hf_{name}"
        return self.accounts.add(name, token, role, orgs, can_pay, scopes, can_read_gated, private_storage_bytes)

    def add_repo(
        self,
        kind: str,
        repo_id: str,
        files: Mapping[str, bytes | str] | None = None,
        private: bool = False,
        gated: str | bool = False,
        sdk: str = "docker",
    ) -> Repository:
        """kind: model, dataset or space. files: path -> content; large ones are stored as LFS."""
        with self.changed:
            repository = self.make_repository(kind, repo_id, private, sdk if kind == "space" else None)
            repository.gated = "manual" if gated is True else gated
            self.add_files(kind, repo_id, files or {}, "initial commit")
            if kind == "space":
                self.spaces.create(repo_id, {"sdk": sdk})
            return repository

    def add_files(
        self, kind: str, repo_id: str, files: Mapping[str, bytes | str], title: str = "Add files", revision: str = "main"
    ) -> str:
        """A commit made by someone else. Returns its id."""
        repository = self.repositories[kind, repo_id]
        before = repository.find(revision)
        tree = dict(before.files) if before else {}
        for path, content in files.items():
            content = content.encode() if isinstance(content, str) else content
            stored = self.blobs.regular(content)
            tree[path] = self.blobs.large(stored.sha256) if b"\0" in content else stored
        return repository.commit(revision, tree, title).id

    def grant(self, kind: str, repo_id: str, user: str) -> None:
        """The owner of a gated repository lets a user in."""
        self.repositories[kind, repo_id].granted.add(user)

    def fail(
        self,
        method: str,
        path: str,
        status: Kind = 500,
        times: int | None = 1,
        seconds: float = 0,
        after: int = 0,
        code: str | None = None,
        message: str | None = None,
    ) -> Failure:
        """The next requests like this fail (Failure says how). method: the whole of it, path: a part, as expressions."""
        return self.failures.add(method, path, status, times, seconds, after, code, message)

    def exists(self, kind: str, repo_id: str) -> bool:
        return (kind, repo_id) in self.repositories

    def files(self, kind: str, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """path -> content. Raises KeyError for a repository, LookupError for a revision that isn't there."""
        commit = self.repositories[kind, repo_id].find(revision)
        if commit is None:
            raise LookupError(f"{repo_id} has no revision {revision}")
        return {path: self.blobs.get(stored.sha256) for path, stored in commit.files.items()}

    def checkout(self, kind: str, repo_id: str, folder: Path, revision: str = "main") -> Path:
        """Writes the files to a folder, as the machine of a Space gets them."""
        for path, content in self.files(kind, repo_id, revision).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        return folder

    def discussions(self, kind: str, repo_id: str) -> list[Discussion]:
        return self._discussions.setdefault((kind, repo_id), [])

    def sent(self, method: str = "", path: str = "") -> list[Request]:
        """The requests of this method whose path contains this text."""
        return [each for each in self.requests if method in ("", each.method) and path in each.path]

    def places_with(self, text: str) -> list[str]:
        """Where a text (a secret) has got to: files of any commit, logs, discussions, addresses, headers and bodies of
        requests. The authorization header is not looked at: a token belongs there."""
        wanted, places = text.encode(), []
        for repository in self.repositories.values():
            for commit in repository.commits.values():
                held = [name for name, stored in commit.files.items() if wanted in self.blobs.get(stored.sha256)]
                places += [f"{repository.kind} {repository.id}: {name}" for name in held]
        for request in list(self.requests):
            sent = f"{request.path} {request.query} {request.headers}".encode()
            if any(wanted in each for each in (sent, request.body, *uploaded(request))):
                places.append(f"{request.method} {request.path}")
        logs = [(f"log of {space.id}", space.logs + space.build_log.lines) for space in self.spaces.values()]
        logs += [(f"log of job {job.id}", job.logs) for job in self.jobs.values()]
        logs += [(f"discussion of {where[1]}", _texts(found)) for where, found in self._discussions.items()]
        return sorted({*places, *(name for name, lines in logs if any(text in line for line in lines))})

    def make_repository(self, kind: str, repo_id: str, private: bool, sdk: str | None) -> Repository:
        """Without a commit yet."""
        folder = self.root / f"{kind}s" / repo_id
        self.repositories[kind, repo_id] = Repository(kind, repo_id, folder, private=private, sdk=sdk)
        return self.repositories[kind, repo_id]

    def forget_repository(self, kind: str, repo_id: str) -> None:
        repository = self.repositories.pop((kind, repo_id))
        self._discussions.pop((kind, repo_id), None)
        if kind == "space":
            self.spaces.pop(repo_id).set_stage("DELETING")
        shutil.rmtree(repository.folder, ignore_errors=True)

    def rename_repository(self, repository: Repository, repo_id: str) -> None:
        del self.repositories[repository.kind, repository.id]
        if repository.kind == "space":
            space = self.spaces[repo_id] = self.spaces.pop(repository.id)
            space.id = repo_id
        folder = self.root / f"{repository.kind}s" / repo_id
        folder.parent.mkdir(parents=True, exist_ok=True)
        repository.folder.rename(folder)
        repository.id, repository.folder = repo_id, folder
        self.repositories[repository.kind, repo_id] = repository
        repository.save()


def _texts(discussions: list[Discussion]) -> list[str]:
    return [text for each in discussions for text in (each.title, *(comment.text for comment in each.comments))]
