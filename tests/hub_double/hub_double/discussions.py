"""Discussions of a repository."""

from dataclasses import dataclass, field
from typing import Any

from hub_double.access import readable
from hub_double.accounts import LIMITED, Access, identifier
from hub_double.protocol import KIND, REPO, Answer, Call, Refused, as_json, now, route
from hub_double.store import Repository


@dataclass
class Comment:
    author: str
    text: str
    created_at: str = field(default_factory=now)


@dataclass
class Discussion:
    """comments: the first is the text that it was opened with."""

    num: int
    title: str
    author: str
    comments: list[Comment]
    status: str = "open"
    created_at: str = field(default_factory=now)

    @property
    def text(self) -> str:
        return self.comments[0].text


def _writer(call: Call, repository: Repository) -> Access:
    """Anyone signed in may discuss; a fine-grained token needs the permission for it."""
    access = call.signed_in()
    if access.role == "read":
        raise Refused(403, "You don't have the rights to open discussions: this is a read token")
    if access.role in LIMITED and not access.may("discussion.write", repository.namespace):
        raise Refused(403, f'The token lacks discussion.write for "{repository.namespace}"')
    return access


def _event(kind: str, author: str, created_at: str, data: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "id": identifier(f"{kind} {number} {created_at}"),
        "type": kind,
        "createdAt": created_at,
        "author": {"name": author},
        "data": data,
    }


def _comment_event(comment: Comment, number: int) -> dict[str, Any]:
    latest = {
        "raw": comment.text,
        "html": comment.text,
        "updatedAt": comment.created_at,
        "author": {"name": comment.author},
    }
    data = {"edited": False, "hidden": False, "latest": latest, "history": []}
    return _event("comment", comment.author, comment.created_at, data, number)


def _described(repository: Repository, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "author": {"name": discussion.author},
        "createdAt": discussion.created_at,
        "status": discussion.status,
        "repo": {"name": repository.id, "type": repository.kind},
        "isPullRequest": False,
        "numComments": len(discussion.comments),
        "events": [_comment_event(comment, number) for number, comment in enumerate(discussion.comments)],
    }


def _found(call: Call, repository: Repository, num: str) -> Discussion:
    for discussion in call.hub.discussions(repository.kind, repository.id):
        if discussion.num == int(num):
            return discussion
    raise Refused(404, f"Discussion {num} not found")


def listing(call: Call, kind: str, repo_id: str) -> Answer:
    repository = readable(call, kind, repo_id)
    found = [
        _described(repository, each)
        for each in call.hub.discussions(kind, repo_id)
        if call.query("status", each.status) in (each.status, "all") and call.query("type", "discussion") != "pull_request"
    ]
    page = found if call.query("p", "0") == "0" else []
    return as_json({"count": len(found), "start": 0, "discussions": page})


def create(call: Call, kind: str, repo_id: str) -> Answer:
    repository = readable(call, kind, repo_id)
    access, payload = _writer(call, repository), call.json()
    if payload.get("pullRequest"):
        raise Refused(400, "This double of the hub has no pull requests")
    if not 3 <= len(payload["title"]) <= 200:
        raise Refused(400, '"title" length must be between 3 and 200 characters')
    kept = call.hub.discussions(kind, repo_id)
    author = access.user.name
    discussion = Discussion(len(kept) + 1, payload["title"], author, [Comment(author, payload["description"])])
    kept.append(discussion)
    call.hub.changed.notify_all()
    return as_json({**_described(repository, discussion), "pullRequest": False})


def details(call: Call, kind: str, repo_id: str, num: str) -> Answer:
    repository = readable(call, kind, repo_id)
    return as_json(_described(repository, _found(call, repository, num)))


def comment(call: Call, kind: str, repo_id: str, num: str) -> Answer:
    repository = readable(call, kind, repo_id)
    access, discussion = _writer(call, repository), _found(call, repository, num)
    discussion.comments.append(Comment(access.user.name, call.json()["comment"]))
    return as_json({"newMessage": _comment_event(discussion.comments[-1], len(discussion.comments))})


def status(call: Call, kind: str, repo_id: str, num: str) -> Answer:
    repository = readable(call, kind, repo_id)
    access, discussion, payload = _writer(call, repository), _found(call, repository, num), call.json()
    discussion.status = payload["status"]
    if payload.get("comment"):
        discussion.comments.append(Comment(access.user.name, payload["comment"]))
    return as_json({"newStatus": _event("status-change", access.user.name, now(), {"status": discussion.status}, 0)})


NUM = r"(?P<num>\d+)"
ROUTES = (
    route("GET", f"/api/{KIND}/{REPO}/discussions", listing),
    route("POST", f"/api/{KIND}/{REPO}/discussions", create),
    route("GET", f"/api/{KIND}/{REPO}/discussions/{NUM}", details),
    route("POST", f"/api/{KIND}/{REPO}/discussions/{NUM}/comment", comment),
    route("POST", f"/api/{KIND}/{REPO}/discussions/{NUM}/status", status),
)
