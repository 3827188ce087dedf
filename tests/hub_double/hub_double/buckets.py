"""Buckets, as far as persistent storage of a Space needs them: made, described, deleted; no files in them."""

from typing import Any

from hub_double.access import require
from hub_double.protocol import Answer, Call, Refused, as_json, now, route


def create(call: Call, namespace: str, name: str) -> Answer:
    access = call.signed_in()
    namespace = access.user.name if namespace == "me" else namespace
    require(access, "repo.write", namespace, f"create a bucket under the namespace {namespace}")
    bucket_id = f"{namespace}/{name}"
    address = f"{call.hub.url}/buckets/{bucket_id}"
    if bucket_id in call.hub.buckets:
        raise Refused(409, f"You already created this bucket: {bucket_id}", body={"url": address})
    private = call.json().get("visibility", "public") != "public"
    call.hub.buckets[bucket_id] = {"id": bucket_id, "private": private, "createdAt": now(), "size": 0, "totalFiles": 0}
    return as_json({"url": address, "id": bucket_id})


def _found(call: Call, namespace: str, name: str) -> dict[str, Any]:
    bucket = call.hub.buckets.get(f"{namespace}/{name}")
    if bucket is None or (bucket["private"] and not call.signed_in().belongs_to(namespace)):
        raise Refused(404, "Bucket not found", "RepoNotFound")
    return bucket


def info(call: Call, namespace: str, name: str) -> Answer:
    return as_json(_found(call, namespace, name))


def delete(call: Call, namespace: str, name: str) -> Answer:
    require(call.signed_in(), "repo.write", namespace, "delete this bucket")
    _found(call, namespace, name)
    del call.hub.buckets[f"{namespace}/{name}"]
    return as_json({})


BUCKET = r"/api/buckets/(?P<namespace>[^/]+)/(?P<name>[^/]+)"
ROUTES = (
    route("POST", BUCKET, create),
    route("GET", BUCKET, info),
    route("DELETE", BUCKET, delete),
)
