"""Sign-in with Hugging Face, as a Space with `hf_oauth: true` uses it: the authorization code flow of OpenID Connect.

The person at the browser is `hub.person`: a user who agrees to everything, or None, who says no. Differs from the hub: the
identity token is signed with the client's secret (HS256), not with a key of the hub's."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from hub_double.accounts import Access, User, identifier
from hub_double.protocol import Answer, Call, Refused, as_json, route

if TYPE_CHECKING:
    from hub_double.spaces import Space

PERMISSIONS = {
    "read-repos": ("repo.content.read",),
    "contribute-repos": ("repo.content.read", "repo.write"),
    "write-repos": ("repo.content.read", "repo.write"),
    "manage-repos": ("repo.content.read", "repo.write"),
    "write-discussions": ("discussion.write",),
    "jobs": ("job.write",),
}
"""Scope -> what a token with it may do."""
LOOPBACK = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True)
class Grant:
    """What stands behind a code that has not been spent."""

    user: str
    space: str
    redirect_uri: str
    scope: str
    nonce: str
    challenge: str


def _space_of(call: Call, client_id: str) -> "Space":
    for space in call.hub.spaces.values():
        if space.environment().get("OAUTH_CLIENT_ID") == client_id:
            return space
    raise Refused(400, f"Unknown client_id: {client_id}")


def configuration(call: Call) -> Answer:
    base = call.hub.url
    return as_json(
        {
            "issuer": base,
            "authorization_endpoint": f"{base}/oauth/authorize",
            "token_endpoint": f"{base}/oauth/token",
            "userinfo_endpoint": f"{base}/oauth/userinfo",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["HS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "scopes_supported": ["openid", "profile", "email", *PERMISSIONS],
            "code_challenge_methods_supported": ["S256"],
        }
    )


def authorize(call: Call) -> Answer:
    space = _space_of(call, call.query("client_id"))
    back, state = call.query("redirect_uri"), call.query("state")
    host = urlsplit(back).hostname
    if host != space.host and host not in LOOPBACK:  # tests run a Space's server here
        raise Refused(400, f"Invalid redirect_uri: {back} is not on {space.host}")
    allowed = set(space.environment()["OAUTH_SCOPES"].split())
    scope = call.query("scope", "openid profile")
    if unknown := sorted(set(scope.split()) - allowed):
        raise Refused(400, f"Invalid scope: {' '.join(unknown)}")
    answer = {"error": "access_denied", "error_description": "The user denied the request"}
    if call.hub.person is not None:
        code = secrets.token_urlsafe(16)
        answer = {"code": code}
        call.hub.grants[code] = Grant(
            call.hub.person, space.id, back, scope, call.query("nonce"), call.query("code_challenge")
        )
    joint = "&" if "?" in back else "?"
    return Answer(303, headers={"Location": back + joint + urlencode({**answer, "state": state})})


def _client(call: Call, form: dict[str, str]) -> tuple[str, str]:
    given = call.request.headers.get("x-client", "")
    if given:
        identity, _, secret = base64.b64decode(given).decode().partition(":")
        return identity, secret
    return form.get("client_id", ""), form.get("client_secret", "")


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def token(call: Call) -> Answer:
    form = {name: values[-1] for name, values in parse_qs(call.body.decode()).items()}
    client_id, client_secret = _client(call, form)
    space = _space_of(call, client_id)
    if client_secret != space.environment()["OAUTH_CLIENT_SECRET"]:
        raise Refused(401, "invalid_client")
    grant = call.hub.grants.pop(form.get("code", ""), None)
    if grant is None or grant.space != space.id or form.get("redirect_uri") != grant.redirect_uri:
        raise Refused(400, "invalid_grant")
    if grant.challenge and _challenge(form.get("code_verifier", "")) != grant.challenge:
        raise Refused(400, "invalid_grant", body={"error_description": "code_verifier does not match"})
    user = call.hub.accounts.users[grant.user]
    access_token = f"hf_oauth_{secrets.token_hex(8)}"
    held = frozenset(permission for scope in grant.scope.split() for permission in PERMISSIONS.get(scope, ()))
    call.hub.accounts.by_token[access_token] = Access(user, access_token, "oauth", {user.name: held})
    answered = {"access_token": access_token, "token_type": "bearer", "expires_in": 28800, "scope": grant.scope}
    claims = {**_claims(call, user), "iss": call.hub.url, "aud": client_id, "nonce": grant.nonce}
    return as_json({**answered, "id_token": _signed(claims, client_secret)})


def _signed(claims: dict[str, Any], secret: str) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = {**claims, "iat": int(time.time()), "exp": int(time.time()) + 28800}
    text = f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claims).encode())}"
    return f"{text}.{part(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())}"


def _claims(call: Call, user: User) -> dict[str, Any]:
    return {
        "sub": identifier(user.name),
        "name": user.name.title(),
        "preferred_username": user.name,
        "profile": f"{call.hub.url}/{user.name}",
        "picture": f"{call.hub.url}/avatars/{user.name}.svg",
        "isPro": False,
        "canPay": user.can_pay,
        "orgs": [
            {"sub": identifier(name), "name": name.title(), "preferred_username": name, "roleInOrg": role}
            for name, role in user.orgs.items()
        ],
    }


def userinfo(call: Call) -> Answer:
    return as_json(_claims(call, call.signed_in().user))


ROUTES = (
    route("GET", "/.well-known/openid-configuration", configuration),
    route("GET", "/oauth/authorize", authorize),
    route("POST", "/oauth/token", token),
    route("GET", "/oauth/userinfo", userinfo),
)
