"""Users, their organisations and tokens: who may do what, and what `whoami` says."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub_double.protocol import Answer, Call, Refused, as_json, now, route

READING = frozenset({"repo.content.read"})
LIMITED = frozenset({"fineGrained", "oauth"})
"""Roles of tokens that can do only what their scopes name."""
WRITING_ROLES = frozenset({"admin", "write", "contributor"})
OWN_SCOPES = ("repo.content.read", "repo.write")


@dataclass
class User:
    """orgs: organisation -> role in it. private_storage_bytes: what is left for private repositories; None: no bound."""

    name: str
    orgs: dict[str, str] = field(default_factory=dict)
    can_pay: bool = True
    private_storage_bytes: int | None = None


@dataclass
class Access:
    """A user through one of their tokens. role: read, write, fineGrained, or oauth for one of a sign-in.
    scopes: namespace -> permissions, for the last two."""

    user: User
    token: str
    role: str
    scopes: dict[str, frozenset[str]] = field(default_factory=dict)
    can_read_gated: bool = False

    def belongs_to(self, namespace: str) -> bool:
        return namespace == self.user.name or namespace in self.user.orgs

    def may(self, permission: str, namespace: str) -> bool:
        """Whether the user may do it there, and this token allows it."""
        if not self.belongs_to(namespace):
            return False
        if permission not in READING and self.user.orgs.get(namespace, "write") not in WRITING_ROLES:
            return False
        if self.role in LIMITED:
            held = self.scopes.get(namespace, frozenset())
            return permission in held or (permission in READING and "repo.write" in held)
        return self.role == "write" or permission in READING


class Accounts:
    def __init__(self) -> None:
        self.users: dict[str, User] = {}
        self.by_token: dict[str, Access] = {}

    def add(
        self,
        name: str,
        token: str,
        role: str,
        orgs: Mapping[str, str] | Iterable[str],
        can_pay: bool,
        scopes: Mapping[str, Iterable[str]] | Iterable[str] | None,
        can_read_gated: bool,
        private_storage_bytes: int | None,
    ) -> User:
        roles = dict(orgs) if isinstance(orgs, Mapping) else {each: "write" for each in orgs}
        user = self.users.setdefault(name, User(name))
        user.orgs.update(roles)
        user.can_pay, user.private_storage_bytes = can_pay, private_storage_bytes
        given = scopes if isinstance(scopes, Mapping) else {name: OWN_SCOPES if scopes is None else scopes}
        held = {each: frozenset(permissions) for each, permissions in given.items()} if role == "fineGrained" else {}
        self.by_token[token] = Access(user, token, role, held, can_read_gated)
        return user

    def organisations(self) -> set[str]:
        return {name for user in self.users.values() for name in user.orgs}


def identifier(text: str) -> str:
    """24 hexadecimal digits, as the hub's identifiers are."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _access_token(access: Access) -> dict[str, Any]:
    described: dict[str, Any] = {"displayName": "test", "role": access.role, "createdAt": now()}
    if access.role == "fineGrained":
        described["fineGrained"] = {
            "canReadGatedRepos": access.can_read_gated,
            "global": [],
            "scoped": [
                {
                    "entity": {
                        "_id": identifier(name),
                        "type": "user" if name == access.user.name else "org",
                        "name": name,
                    },
                    "permissions": sorted(permissions),
                }
                for name, permissions in access.scopes.items()
            ],
        }
    return described


def whoami(call: Call) -> Answer:
    access = call.signed_in()
    user = access.user
    return as_json(
        {
            "type": "user",
            "id": identifier(user.name),
            "name": user.name,
            "fullname": user.name.title(),
            "email": f"{user.name}@example.com",
            "emailVerified": True,
            "canPay": user.can_pay,
            "billingMode": "prepaid",
            "periodEnd": None,
            "isPro": False,
            "avatarUrl": f"/avatars/{user.name}.svg",
            "orgs": [
                {
                    "type": "org",
                    "id": identifier(name),
                    "name": name,
                    "fullname": name.title(),
                    "email": None,
                    "canPay": user.can_pay,
                    "periodEnd": None,
                    "avatarUrl": f"/avatars/{name}.svg",
                    "roleInOrg": role,
                    "isEnterprise": False,
                }
                for name, role in user.orgs.items()
            ],
            "auth": {"type": "oauth"}
            if access.role == "oauth"
            else {"type": "access_token", "accessToken": _access_token(access)},
        }
    )


def user_overview(call: Call, name: str) -> Answer:
    user = call.hub.accounts.users.get(name)
    if user is None:
        raise Refused(404, "This user does not exist")
    orgs = [{"name": each, "fullname": each.title(), "avatarUrl": ""} for each in user.orgs]
    return as_json({"_id": identifier(name), "user": name, "fullname": name.title(), "type": "user", "orgs": orgs})


def organisation_overview(call: Call, name: str) -> Answer:
    if name not in call.hub.accounts.organisations():
        raise Refused(404, "This organization does not exist")
    return as_json({"_id": identifier(name), "name": name, "fullname": name.title(), "type": "org", "avatarUrl": ""})


ROUTES = (
    route("GET", r"/api/whoami-v2", whoami),
    route("GET", r"/api/users/(?P<name>[^/]+)/overview", user_overview),
    route("GET", r"/api/organizations/(?P<name>[^/]+)/overview", organisation_overview),
)
