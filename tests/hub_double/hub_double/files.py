"""Reading: listings of a tree, facts about paths, the files themselves."""

import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from hub_double.access import at_revision, open_gate, readable
from hub_double.protocol import KIND, PREFIXES, REPO, REVISION, Answer, Call, Refused, as_json, route
from hub_double.store import Commit, StoredFile, pointer

ALWAYS_OPEN = frozenset({"README.md", ".gitattributes"})
"""What a gated repository shows to everyone."""


def _entry(path: str, stored: StoredFile, commit: Commit, expand: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": stored.oid, "size": stored.size, "path": path}
    if stored.is_lfs:
        size = len(pointer(stored.sha256, stored.size))
        entry["lfs"] = {"oid": stored.sha256, "size": stored.size, "pointerSize": size}
    return entry | (_last_commit(commit) if expand else {})


def _folder(path: str, commit: Commit, expand: bool) -> dict[str, Any]:
    inside = "".join(f"{name}:{each.oid}\n" for name, each in commit.files.items() if name.startswith(path + "/"))
    entry = {"type": "directory", "oid": hashlib.sha1(inside.encode()).hexdigest(), "size": 0, "path": path}
    return entry | (_last_commit(commit) if expand else {})


def _last_commit(commit: Commit) -> dict[str, Any]:
    return {"lastCommit": {"id": commit.id, "title": commit.title, "date": commit.date}}


def _entries(commit: Commit, folder: str, recursive: bool, expand: bool) -> list[dict[str, Any]]:
    start = f"{folder}/" if folder else ""
    folders: dict[str, None] = {}
    files: list[dict[str, Any]] = []
    for path, stored in commit.files.items():
        if not path.startswith(start):
            continue
        parts = path[len(start) :].split("/")
        above = [start + "/".join(parts[:depth]) for depth in range(1, len(parts))]
        folders |= dict.fromkeys(above if recursive else above[:1])
        if recursive or len(parts) == 1:
            files.append(_entry(path, stored, commit, expand))
    return [_folder(each, commit, expand) for each in folders] + files


def tree(call: Call, kind: str, repo_id: str, revision: str, path: str = "") -> Answer:
    repository = readable(call, kind, repo_id)
    commit = at_revision(repository, revision)
    recursive, expand = call.query("recursive") in ("true", "True", "1"), call.query("expand") in ("true", "True", "1")
    entries = _entries(commit, path, recursive, expand)
    if path and not entries:
        raise Refused(404, f"{path} does not exist on {revision}", "EntryNotFound")
    start, size = int(call.query("cursor", "0")), call.hub.page_entries
    headers = {}
    if start + size < len(entries):
        query = urlencode({"recursive": str(recursive).lower(), "expand": str(expand).lower(), "cursor": start + size})
        headers["Link"] = f'<{call.hub.url}{quote(call.request.path, safe="/%")}?{query}>; rel="next"'
    return as_json(entries[start : start + size], headers=headers)


def paths_info(call: Call, kind: str, repo_id: str, revision: str) -> Answer:
    commit = at_revision(readable(call, kind, repo_id), revision)
    if "json" in call.request.headers.get("content-type", ""):
        form = call.json()
        wanted, expand = form["paths"], bool(form.get("expand"))
    else:
        fields = parse_qs(call.body.decode())
        wanted, expand = fields.get("paths", []), fields.get("expand", [""])[-1].lower() == "true"
    found: list[dict[str, Any]] = []
    for path in wanted:
        if path in commit.files:
            found.append(_entry(path, commit.files[path], commit, expand))
        elif any(name.startswith(path.strip("/") + "/") for name in commit.files):
            found.append(_folder(path.strip("/"), commit, expand))
    return as_json(found)


def resolve(call: Call, repo_id: str, revision: str, path: str, prefix: str = "", kind: str = "") -> Answer:
    """The file, or for a large one the way to the storage, on another host name, as the hub does it."""
    repository = readable(call, kind or PREFIXES[prefix], repo_id)
    if path not in ALWAYS_OPEN:
        open_gate(call, repository)
    commit = at_revision(repository, revision)
    headers = {"X-Repo-Commit": commit.id, "Accept-Ranges": "bytes"}
    stored = commit.files.get(path)
    if stored is None:
        raise Refused(404, "Entry not found", "EntryNotFound", headers=headers)
    if not stored.is_lfs:
        return _ranged(call, call.hub.blobs.get(stored.sha256), {**headers, "ETag": f'"{stored.oid}"'})
    linked = {"X-Linked-Etag": f'"{stored.sha256}"', "X-Linked-Size": str(stored.size), "ETag": f'"{stored.sha256}"'}
    return Answer(302, headers={**headers, **linked, "Location": f"{call.hub.storage_url}/storage/{stored.sha256}"})


def storage(call: Call, sha256: str) -> Answer:
    if "authorization" in call.request.headers:
        raise Refused(400, "Only one auth mechanism allowed")
    if not call.hub.blobs.has(sha256):
        raise Refused(403, "Request has expired")
    return _ranged(call, call.hub.blobs.get(sha256), {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"})


def _ranged(call: Call, content: bytes, headers: dict[str, str]) -> Answer:
    headers = {"Content-Type": "application/octet-stream", **headers}
    wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", call.request.headers.get("range", ""))
    if wanted is None or wanted.group(0) == "bytes=-":
        return Answer(200, content, headers)
    first, last = wanted.groups()
    size = len(content)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start >= size:
        raise Refused(416, "Requested range not satisfiable", headers={"Content-Range": f"bytes */{size}"})
    return Answer(206, content[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{size}"})


ROUTES = (
    route("GET", f"/api/{KIND}/{REPO}/tree/{REVISION}(?:/(?P<path>.+))?", tree),
    route("POST", f"/api/{KIND}/{REPO}/paths-info/{REVISION}", paths_info),
    route("GET", f"/api/resolve-cache/{KIND}/{REPO}/{REVISION}/(?P<path>.+)", resolve),
    route("GET", f"/(?P<prefix>datasets/|spaces/)?{REPO}/resolve/{REVISION}/(?P<path>.+)", resolve),
    route("GET", r"/storage/(?P<sha256>[0-9a-f]{64})", storage),
)
