"""Repositories as a whole: made, deleted, moved, set, described; their branches and tags."""

import re
from typing import Any

from hub_double.access import at_revision, open_gate, readable, require, writable
from hub_double.cards import front_matter
from hub_double.protocol import KIND, REPO, REVISION, Answer, Call, Refused, as_json, now, route
from hub_double.store import Commit, Repository, StoredFile

NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")
REFERENCE = re.compile(r"(?!.*(\.\.|//|@\{))[A-Za-z0-9_][A-Za-z0-9._/-]*(?<![./])")
LARGE_NAMES = "*.bin *.safetensors *.pt *.ckpt *.gguf *.onnx *.parquet *.arrow *.zip *.gz *.pkl *.npz *tfevents*".split()


def gitattributes() -> bytes:
    return "".join(f"{name} filter=lfs diff=lfs merge=lfs -text\n" for name in LARGE_NAMES).encode()


def _visibility(payload: dict[str, Any], default: bool) -> bool:
    """Whether private."""
    if "visibility" in payload:
        return payload["visibility"] != "public"
    return bool(payload.get("private", default))


def create(call: Call) -> Answer:
    access = call.signed_in()
    payload = call.json()
    kind, name = payload.get("type") or "model", payload["name"]
    namespace = payload.get("organization") or access.user.name
    require(access, "repo.write", namespace, f"create a {kind} under the namespace {namespace}")
    if not NAME.fullmatch(name):
        raise Refused(400, f"Invalid repo name: {name}. Use at most 96 letters, digits, '-', '_' and '.'")
    repo_id = f"{namespace}/{name}"
    existing = call.hub.repositories.get((kind, repo_id))
    if existing is not None:
        address = {"url": f"{call.hub.url}/{existing.web_path}", "name": repo_id}
        raise Refused(409, f"You already created this {kind} repo: {repo_id}", body=address)
    if kind == "space":
        call.hub.spaces.check(call, payload)
    repository = call.hub.make_repository(kind, repo_id, _visibility(payload, False), payload.get("sdk"))
    first = {".gitattributes": call.hub.blobs.regular(gitattributes())}
    if kind == "space":
        first["README.md"] = call.hub.blobs.regular(_space_card(name, payload["sdk"]))
    repository.commit("main", first, "initial commit", author=access.user.name)
    if kind == "space":
        call.hub.spaces.create(repo_id, payload)
    return as_json({"url": f"{call.hub.url}/{repository.web_path}", "name": repo_id, "id": repo_id})


def _space_card(name: str, sdk: str) -> bytes:
    return f"---\ntitle: {name}\nemoji: X\ncolorFrom: blue\ncolorTo: gray\nsdk: {sdk}\npinned: false\n---\n".encode()


def delete(call: Call) -> Answer:
    access = call.signed_in()
    payload = call.json()
    kind = payload.get("type") or "model"
    repo_id = f"{payload.get('organization') or access.user.name}/{payload['name']}"
    writable(call, kind, repo_id)
    call.hub.forget_repository(kind, repo_id)
    return Answer(body=b"OK")


def move(call: Call) -> Answer:
    payload = call.json()
    kind, source, target = payload["type"], payload["fromRepo"], payload["toRepo"]
    repository, access = writable(call, kind, source)
    namespace, name = target.split("/")
    require(access, "repo.write", namespace, f"move a {kind} to the namespace {namespace}")
    if not NAME.fullmatch(name):
        raise Refused(400, f"Invalid repo name: {name}")
    if (kind, target) in call.hub.repositories:
        raise Refused(409, f"A {kind} repo with this name already exists: {target}")
    call.hub.rename_repository(repository, target)
    return as_json({"url": f"{call.hub.url}/{repository.web_path}"})


def settings(call: Call, kind: str, repo_id: str) -> Answer:
    repository, _ = writable(call, kind, repo_id)
    payload = call.json()
    repository.private = _visibility(payload, repository.private)
    repository.gated = payload.get("gated", repository.gated)
    repository.save()
    return as_json({"private": repository.private, "gated": repository.gated})


def _sibling(path: str, stored: StoredFile, with_blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path}
    if with_blobs:
        entry |= {"size": stored.size, "blobId": stored.oid}
        if stored.is_lfs:
            entry["lfs"] = {"sha256": stored.sha256, "size": stored.size, "pointerSize": 134}
    return entry


def described(call: Call, repository: Repository, commit: Commit) -> dict[str, Any]:
    """What `model_info`, `dataset_info` and `space_info` read."""
    card = commit.files.get("README.md")
    matter = front_matter(call.hub.blobs.get(card.sha256).decode()) if card else {}
    tags = [str(each) for each in matter.get("tags") or []]
    about: dict[str, Any] = {
        "_id": repository.id,
        "id": repository.id,
        "author": repository.namespace,
        "sha": commit.id,
        "lastModified": commit.date,
        "createdAt": repository.created_at,
        "private": repository.private,
        "gated": repository.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags + ([f"license:{matter['license']}"] if "license" in matter else []),
        "cardData": matter or None,
        "siblings": [_sibling(path, stored, bool(call.query("blobs"))) for path, stored in commit.files.items()],
        "usedStorage": sum(stored.size for stored in commit.files.values()),
    }
    if repository.kind == "model":
        about |= {
            "modelId": repository.id,
            "pipeline_tag": matter.get("pipeline_tag"),
            "library_name": matter.get("library_name"),
        }
    if repository.kind == "space":
        about |= {"sdk": repository.sdk, "runtime": call.hub.spaces[repository.id].runtime()}
    return about


def info(call: Call, kind: str, repo_id: str, revision: str = "main") -> Answer:
    repository = readable(call, kind, repo_id)
    return as_json(described(call, repository, at_revision(repository, revision)))


def listing(call: Call, kind: str) -> Answer:
    """`list_models` and its like: those that the caller may see, filtered by author and search words."""
    author, words = call.query("author"), call.query("search").lower()
    found: list[dict[str, Any]] = []
    for repository in call.hub.repositories.values():
        seen = not repository.private or (call.access is not None and call.access.belongs_to(repository.namespace))
        if repository.kind == kind and seen and words in repository.id.lower() and author in ("", repository.namespace):
            found.append(described(call, repository, repository.head()))
    return as_json(found[: int(call.query("limit", "1000"))])


def auth_check(call: Call, kind: str, repo_id: str, write: str = "") -> Answer:
    if write:
        writable(call, kind, repo_id)
    else:
        open_gate(call, readable(call, kind, repo_id))
    return as_json({})


def refs(call: Call, kind: str, repo_id: str) -> Answer:
    repository = readable(call, kind, repo_id)

    def listed(folder: str, references: dict[str, str]) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": commit} for name, commit in references.items()
        ]

    found = {"branches": listed("heads", repository.branches), "tags": listed("tags", repository.tags)}
    return as_json({**found, "converts": [], "pullRequests": []})


def create_branch(call: Call, kind: str, repo_id: str, branch: str) -> Answer:
    repository, _ = writable(call, kind, repo_id)
    if not REFERENCE.fullmatch(branch):
        raise Refused(400, f"Invalid reference for a branch: {branch}")
    if branch in repository.branches:
        raise Refused(409, f"Reference already exists: {branch}")
    repository.branches[branch] = at_revision(repository, call.json().get("startingPoint") or "main").id
    repository.save()
    return as_json({})


def delete_branch(call: Call, kind: str, repo_id: str, branch: str) -> Answer:
    repository, _ = writable(call, kind, repo_id)
    if branch == "main":
        raise Refused(403, "The main branch can't be deleted")
    if repository.branches.pop(branch, None) is None:
        raise Refused(404, f"Invalid rev id: {branch}", "RevisionNotFound")
    repository.save()
    return as_json({})


def create_tag(call: Call, kind: str, repo_id: str, revision: str) -> Answer:
    repository, _ = writable(call, kind, repo_id)
    tag = call.json()["tag"]
    if tag in repository.tags:
        raise Refused(409, f"Tag already exists: {tag}")
    repository.tags[tag] = at_revision(repository, revision).id
    repository.save()
    return as_json({})


def delete_tag(call: Call, kind: str, repo_id: str, revision: str) -> Answer:
    repository, _ = writable(call, kind, repo_id)
    if repository.tags.pop(revision, None) is None:
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    repository.save()
    return as_json({})


def commits(call: Call, kind: str, repo_id: str, revision: str) -> Answer:
    repository = readable(call, kind, repo_id)
    at_revision(repository, revision)
    return as_json(
        [
            {
                "id": each.id,
                "title": each.title,
                "message": each.description,
                "date": each.date,
                "authors": [{"user": each.author, "avatar": ""}],
            }
            for each in repository.history(revision)
        ]
    )


def squash(call: Call, kind: str, repo_id: str, branch: str) -> Answer:
    repository, access = writable(call, kind, repo_id)
    files = at_revision(repository, branch).files
    del repository.branches[branch]
    message = call.json().get("message") or f"Super-squash branch '{branch}' at {now()}"
    repository.commit(branch, files, message, author=access.user.name)
    return as_json({})


ROUTES = (
    route("POST", "/api/repos/create", create),
    route("DELETE", "/api/repos/delete", delete),
    route("POST", "/api/repos/move", move),
    route("GET", f"/api/{KIND}", listing),
    route("PUT", f"/api/{KIND}/{REPO}/settings", settings),
    route("GET", f"/api/{KIND}/{REPO}/revision/{REVISION}", info),
    route("GET", f"/api/{KIND}/{REPO}/auth-check(?:/(?P<write>write))?", auth_check),
    route("GET", f"/api/{KIND}/{REPO}/refs", refs),
    route("POST", f"/api/{KIND}/{REPO}/branch/(?P<branch>[^/]+)", create_branch),
    route("DELETE", f"/api/{KIND}/{REPO}/branch/(?P<branch>[^/]+)", delete_branch),
    route("POST", f"/api/{KIND}/{REPO}/tag/{REVISION}", create_tag),
    route("DELETE", f"/api/{KIND}/{REPO}/tag/{REVISION}", delete_tag),
    route("GET", f"/api/{KIND}/{REPO}/commits/{REVISION}", commits),
    route("POST", f"/api/{KIND}/{REPO}/super-squash/(?P<branch>[^/]+)", squash),
    route("GET", f"/api/{KIND}/{REPO}", info),
)
