"""Large files: the batch that says where to send them, the parts, the completion, the check at the end."""

import hashlib
from math import ceil
from typing import Any

from hub_double.access import writable
from hub_double.protocol import PREFIXES, Answer, Call, Refused, as_json, route

GIT = r"/(?P<prefix>datasets/|spaces/)?(?P<repo_id>[^/]+/[^/]+)\.git/info/lfs"
JSON_OF_LFS = {"Content-Type": "application/vnd.git-lfs+json"}


def _actions(call: Call, prefix: str, repo_id: str, oid: str, size: int) -> dict[str, Any]:
    base, part_bytes = call.hub.url, call.hub.part_bytes
    verify = {"href": f"{base}/{prefix}{repo_id}.git/info/lfs/verify", "header": {}}
    if size <= part_bytes:
        return {"upload": {"href": f"{base}/lfs/{oid}", "header": {}}, "verify": verify}
    header = {str(number): f"{base}/lfs/{oid}?part={number}" for number in range(1, ceil(size / part_bytes) + 1)}
    upload = {"href": f"{base}/lfs/{oid}/complete", "header": {"chunk_size": str(part_bytes), **header}}
    return {"upload": upload, "verify": verify}


def batch(call: Call, prefix: str, repo_id: str) -> Answer:
    repository, access = writable(call, PREFIXES[prefix], repo_id)
    objects = call.json()["objects"]
    room = access.user.private_storage_bytes
    if repository.private and room is not None and sum(each["size"] for each in objects) > room:
        message = (
            "Private repository storage limit reached, please upgrade your plan to increase your private storage limit."
        )
        raise Refused(403, message)
    answered: list[dict[str, Any]] = []
    for each in objects:
        entry: dict[str, Any] = {"oid": each["oid"], "size": each["size"], "authenticated": True}
        if not call.hub.blobs.has(each["oid"]):
            entry["actions"] = _actions(call, prefix, repo_id, each["oid"], each["size"])
            call.hub.awaited[each["oid"]] = each["size"]
        answered.append(entry)
    return as_json({"transfer": "basic", "objects": answered}, headers=JSON_OF_LFS)


def _store(call: Call, oid: str, content: bytes) -> None:
    if hashlib.sha256(content).hexdigest() != oid or len(content) != call.hub.awaited[oid]:
        raise Refused(400, f"What was sent is not the file announced: {oid}")
    call.hub.blobs.put(content)


def put(call: Call, oid: str) -> Answer:
    """One file, or one part of it. No token comes with it: the address is the permission, as with the real storage."""
    if oid not in call.hub.awaited:
        raise Refused(403, "Request has expired")
    part = call.query("part")
    if part:
        call.hub.parts[oid, int(part)] = call.body
    else:
        _store(call, oid, call.body)
    return Answer(headers={"ETag": f'"{hashlib.md5(call.body).hexdigest()}"'})


def complete(call: Call, oid: str) -> Answer:
    parts = call.json()["parts"]
    for each in parts:
        content = call.hub.parts.get((oid, each["partNumber"]))
        if content is None or f'"{hashlib.md5(content).hexdigest()}"' != each["etag"]:
            raise Refused(400, f"Part {each['partNumber']} of {oid} is missing or damaged")
    _store(call, oid, b"".join(call.hub.parts.pop((oid, each["partNumber"])) for each in parts))
    return as_json({"success": True})


def verify(call: Call, prefix: str, repo_id: str) -> Answer:
    writable(call, PREFIXES[prefix], repo_id)
    payload = call.json()
    if not call.hub.blobs.has(payload["oid"]) or call.hub.blobs.size(payload["oid"]) != payload["size"]:
        raise Refused(404, f"Object not found: {payload['oid']}")
    return as_json({"success": True})


ROUTES = (
    route("POST", f"{GIT}/objects/batch", batch),
    route("POST", f"{GIT}/verify", verify),
    route("PUT", r"/lfs/(?P<oid>[0-9a-f]{64})", put),
    route("POST", r"/lfs/(?P<oid>[0-9a-f]{64})/complete", complete),
)
