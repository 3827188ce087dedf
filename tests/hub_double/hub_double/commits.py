"""Uploading: which files go how (`preupload`), and the commit itself."""

import base64
import binascii
import fnmatch
import json
import re
from typing import Any

from hub_double.access import at_revision, writable
from hub_double.protocol import KIND, REPO, REVISION, Answer, Call, Refused, Request, as_json, route
from hub_double.repositories import LARGE_NAMES
from hub_double.store import Commit, StoredFile


def _ignored(path: str, rules: list[str]) -> bool:
    parts = path.split("/")
    for rule in rules:
        plain = rule.strip("/")
        if fnmatch.fnmatch(path, plain) or path.startswith(plain + "/"):
            return True
        if not rule.startswith("/") and any(fnmatch.fnmatch(part, plain) for part in parts):
            return True
    return False


def _upload_mode(call: Call, path: str, size: int, sample: bytes) -> str:
    name = path.rsplit("/", 1)[-1]
    large = any(fnmatch.fnmatch(name, pattern) for pattern in LARGE_NAMES) or size >= call.hub.large_from_bytes
    return "lfs" if large or b"\0" in sample else "regular"


def preupload(call: Call, kind: str, repo_id: str, revision: str) -> Answer:
    repository, _ = writable(call, kind, repo_id)
    commit = at_revision(repository, revision)
    payload = call.json()
    hosted = commit.files.get(".gitignore")
    text = payload.get("gitIgnore") or (call.hub.blobs.get(hosted.sha256).decode() if hosted else "")
    rules = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    answered: list[dict[str, Any]] = []
    for each in payload["files"]:
        mode = _upload_mode(call, each["path"], each["size"], base64.b64decode(each.get("sample") or ""))
        entry = {"path": each["path"], "uploadMode": mode, "shouldIgnore": _ignored(each["path"], rules)}
        stored = commit.files.get(each["path"])
        if stored is not None:
            entry["oid"] = stored.sha256 if stored.is_lfs else stored.oid
        answered.append(entry)
    return as_json({"files": answered})


def _checked_path(path: str) -> str:
    if not path or path.startswith("/") or any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise Refused(400, f'Invalid path in repo: "{path}"')
    return path


def _content(value: dict[str, Any]) -> bytes:
    if value.get("encoding") != "base64":
        return value["content"].encode()
    try:
        return base64.b64decode(value["content"], validate=True)
    except binascii.Error as error:
        raise Refused(400, f"Invalid base64 content of {value['path']}") from error


def _large(call: Call, value: dict[str, Any]) -> StoredFile:
    if not call.hub.blobs.has(value["oid"]):
        message = "Your push was rejected because an LFS pointer pointed to a file that does not exist"
        raise Refused(400, f"{message}: {value['path']} ({value['oid']})")
    return call.hub.blobs.large(value["oid"])


def _changed(call: Call, before: Commit, lines: list[dict[str, Any]]) -> dict[str, StoredFile]:
    """The tree after the commit's lines."""
    files = dict(before.files)
    for line in lines:
        key, value = line["key"], line["value"]
        if key == "file":
            files[_checked_path(value["path"])] = call.hub.blobs.regular(_content(value))
        elif key == "lfsFile":
            files[_checked_path(value["path"])] = _large(call, value)
        elif key == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise Refused(404, f"A file with this name doesn't exist: {value['path']}", "EntryNotFound")
        elif key == "deletedFolder":
            inside = [path for path in files if path.startswith(value["path"].rstrip("/") + "/")]
            if not inside:
                raise Refused(404, f"A folder with this name doesn't exist: {value['path']}", "EntryNotFound")
            for path in inside:
                del files[path]
        elif key != "header":
            raise Refused(400, f"Unknown key in commit: {key}")
    return files


def commit(call: Call, kind: str, repo_id: str, revision: str) -> Answer:
    repository, access = writable(call, kind, repo_id)
    lines = [json.loads(line) for line in call.body.splitlines() if line.strip()]
    header = next((line["value"] for line in lines if line["key"] == "header"), None)
    if header is None or not header.get("summary"):
        raise Refused(400, "A commit needs a header with a summary")
    before = at_revision(repository, revision)
    if call.query("create_pr"):
        raise Refused(400, "This double of the hub has no pull requests")
    if revision not in repository.branches:
        raise Refused(400, f"Commits go to branches; {revision} is none")
    if header.get("parentCommit") not in (None, before.id):
        raise Refused(412, "A commit has happened since. Please refresh and try again.")
    files = _changed(call, before, lines)
    made = repository.commit(revision, files, header["summary"], header.get("description") or "", access.user.name)
    if kind == "space" and revision == "main":
        call.hub.spaces[repo_id].rebuild()
    address = f"{call.hub.url}/{repository.web_path}/commit/{made.id}"
    return as_json({"success": True, "commitOid": made.id, "commitUrl": address, "hookOutput": ""})


def uploaded(request: Request) -> list[bytes]:
    """The contents that a request carries in base64, whether or not they were taken."""
    if request.method != "POST" or request.status == "cut" or not re.search("/(commit|preupload)/", request.path):
        return []
    values = [json.loads(line) for line in request.body.splitlines() if line.strip()]
    commits = [value["value"].get("content", "") for value in values if "value" in value]
    samples = [each.get("sample", "") for value in values for each in value.get("files", [])]
    return [base64.b64decode(text) for text in (*commits, *samples)]


ROUTES = (
    route("POST", f"/api/{KIND}/{REPO}/preupload/{REVISION}", preupload),
    route("POST", f"/api/{KIND}/{REPO}/commit/{REVISION}", commit),
)
