"""The hub's client: whose token, which endpoint, and every error of it in one sentence.

Nothing of huggingface_hub is imported before it is needed: the front doors must answer at once.
"""

import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from json import JSONDecodeError
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from autotrain import __version__, log
from autotrain.errors import HubError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

DEFAULT_ENDPOINT = "https://huggingface.co"
TOKEN_PAGE = f"{DEFAULT_ENDPOINT}/settings/tokens"
STORAGE_PAGE = f"{DEFAULT_ENDPOINT}/settings/storage"
BILLING_PAGE = f"{DEFAULT_ENDPOINT}/settings/billing"
# The client's own default is to wait forever.  Of an upload, this bounds each piece, not the whole.
REQUEST_TIMEOUT_SECONDS = 120.0
_MAY_PASS = frozenset({408, 409, 412, 425, 429, 500, 502, 503, 504})
_MAY_WRITE = ("admin", "write", "contributor")
# How messages of the client begin where its ValueError hides what the hub answered.
_REFUSED_UPLOADS = ("LFS batch API returned errors", "Invalid metadata in README.md")

_bounding = Lock()
_acting: ContextVar[str | None] = ContextVar("acting", default=None)


@dataclass(frozen=True)
class Fault:
    """What the hub, or the way to it, answered.  status: HTTP, None if there was no answer.

    may_pass: whether the same request may succeed later.
    """

    status: int | None
    text: str
    may_pass: bool


@dataclass(frozen=True)
class Account:
    """Who a token belongs to.

    organisations: name -> the user's role there (admin, write, contributor, read).
    role: of the token (write, read, fineGrained, or oauth where the hub says nothing).
    scopes: of a fine-grained token, name of a user, organisation or repository -> permissions ("" stands for everywhere).
    can_pay: whether the hub may bill the user.
    """

    name: str
    organisations: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    role: str = "write"
    can_pay: bool = False
    scopes: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))

    def refusal(self, permission: str, namespace: str, repo_id: str = "") -> str | None:
        """Why this token may not do `permission` (repo.write, job.write) for `namespace`, or None as far as it is known."""
        if namespace != self.name and namespace not in self.organisations:
            there = ", ".join((self.name, *self.organisations))
            return f"the token belongs to {self.name}, who is not in {namespace}; possible names: {there}"
        if namespace != self.name and self.organisations[namespace] not in _MAY_WRITE:
            role = self.organisations[namespace]
            return (
                f"{self.name} has the role '{role}' in {namespace}, which may not write; ask its owner, or use your own name"
            )
        if self.role == "read":
            return f"the token may only read; make one with write access at {TOKEN_PAGE}"
        if self.role != "fineGrained":
            return None
        if any(permission in self.scopes.get(place, ()) for place in ("", namespace, repo_id)):
            return None
        return f"the token lacks the permission {permission} for {namespace}; add it at {TOKEN_PAGE}"


def token_of(explicit: SecretStr | str | None = None) -> str | None:
    """The token to use: the explicit one, else that of `acting_with`, HF_TOKEN, or `hf auth login`.

    It is masked in logs from now on.
    """
    token = explicit.get_secret_value() if isinstance(explicit, SecretStr) else explicit
    token = token or _acting.get() or os.environ.get("HF_TOKEN") or _stored_token()
    log.hide_secret(token)
    return token


@contextmanager
def acting_with(token: str) -> Generator[None]:
    """Let `token_of` answer `token` meanwhile, in this thread alone: another one may act for somebody else."""
    before = _acting.set(token)
    try:
        yield
    finally:
        _acting.reset(before)


def _stored_token() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def endpoint() -> str:
    """Address of the hub: HF_ENDPOINT as it is now, or the public one.  Raises HubError if it is no address."""
    address = (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise HubError(f"HF_ENDPOINT: '{address}' is no address; begin with https://, or unset it for {DEFAULT_ENDPOINT}")
    return address


def open_api(token: str | None, address: str | None = None) -> "HfApi":
    """A client for the hub, silent and with bounded waits; without a token it asks as nobody.

    address: of the hub, if `endpoint` was asked before.
    """
    from huggingface_hub import HfApi

    with _bounding:  # who comes second would close the first one's connections
        _bound_requests()
    return HfApi(
        endpoint=address or endpoint(), token=token or False, library_name="autotrain-llm", library_version=__version__
    )


@cache
def _bound_requests() -> None:
    """Once a process.  The client's warnings quote addresses of uploads, which are signed; what matters is in our errors."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import disable_progress_bars, logging
    from huggingface_hub.utils._http import default_client_factory

    def factory() -> Any:
        client = default_client_factory()
        client.timeout = REQUEST_TIMEOUT_SECONDS
        return client

    set_client_factory(factory)
    logging.set_verbosity_error()
    disable_progress_bars()


def account(api: "HfApi") -> Account:
    """Who the token of `api` belongs to and what it may do.  Raises HubError."""
    with explained("the hub token"):
        answer: dict[str, Any] = api.whoami(cache=True)
    token: dict[str, Any] = (answer.get("auth") or {}).get("accessToken") or {}
    fine: dict[str, Any] = token.get("fineGrained") or {}
    scopes: dict[str, frozenset[str]] = {"": frozenset(fine.get("global") or ())}
    for scope in fine.get("scoped") or ():
        place = str((scope.get("entity") or {}).get("name") or "")
        scopes[place] = scopes.get(place, frozenset()) | frozenset(scope.get("permissions") or ())
    return Account(
        name=str(answer.get("name") or ""),
        organisations=MappingProxyType(
            {str(one["name"]): str(one.get("roleInOrg") or "write") for one in answer.get("orgs") or () if one.get("name")}
        ),
        role=str(token.get("role") or "oauth"),
        can_pay=bool(answer.get("canPay")),
        scopes=MappingProxyType(scopes),
    )


@contextmanager
def explained(what: str) -> Generator[None]:
    """Turn every error of the hub and of the way to it into HubError: `what`, what went wrong, what to do."""
    try:
        yield
    except hub_errors() as error:
        fault = fault_of(error)
        if fault is None:
            raise
        raise HubError(f"{what}: {fault.text}") from error


def hub_errors() -> tuple[type[Exception], ...]:
    """What the client raises, of others' errors too: ask `fault_of` whether one is the hub's."""
    from huggingface_hub import errors

    own = (errors.HTTPError, errors.RevisionResolutionError, errors.OIDCError, errors.DeviceCodeError)
    return (*own, OSError, RuntimeError, ValueError, KeyError)


def fault_of(error: BaseException) -> Fault | None:
    """What a failure means, looking behind wrappers; None if it isn't the hub's."""
    from huggingface_hub import errors

    one: BaseException | None = error
    for _ in range(8):
        if one is None:
            return None
        if isinstance(one, errors.HfHubHTTPError):
            return _answered(one)
        found = _unanswered(one)
        if found:
            return found
        one = one.__cause__ or one.__context__
    return None


def _unanswered(error: BaseException) -> Fault | None:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalTokenNotFoundError):
        return Fault(None, f"there is no token; {how_to_log_in()}", may_pass=False)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return Fault(None, "HF_HUB_OFFLINE is set, so the hub is not asked; unset it", may_pass=False)
    if isinstance(error, errors.HFValidationError | errors.OIDCError | errors.DeviceCodeError):
        return Fault(None, _first_line(error), may_pass=False)
    if isinstance(error, ValueError) and str(error).startswith(_REFUSED_UPLOADS):
        return Fault(None, f"the hub refuses a file: {' '.join(str(error).split())}", may_pass=False)
    if isinstance(error, JSONDecodeError | RuntimeError | KeyError) and error.__cause__ is None and _is_of_client(error):
        # An answer that is no JSON, of a proxy maybe, or lacks what the client reads unasked (the address of what is there
        # already); or the large-file client, which has no classes of its own.
        return Fault(None, f"the hub's answer can't be understood ({_first_line(error)}); try again later", may_pass=True)
    if isinstance(error, errors.HTTPError | ConnectionError | TimeoutError):
        why = _first_line(error)
        text = f"the hub at {endpoint()} can't be reached ({why}); check the connection, a proxy, or HF_ENDPOINT"
        return Fault(None, text, may_pass=True)
    return None


def _answered(error: Any) -> Fault:
    """error: HfHubHTTPError.  What it means by its class and status."""
    from huggingface_hub import errors

    status = int(error.response.status_code)
    said = f": {_first_line(error.server_message)}" if error.server_message else ""
    if isinstance(error, errors.GatedRepoError):
        where = f"{DEFAULT_ENDPOINT}/{_place(error)}"
        text = f"{_place(error)} is gated: accept its terms at {where}, and give a token of that account with read access"
    elif isinstance(error, errors.DisabledRepoError):
        text = "the hub has disabled this repository"
    elif isinstance(error, errors.RevisionNotFoundError):
        text = f"{_place(error)} has no such branch, tag or commit ({status})"
    elif isinstance(error, errors.RepositoryNotFoundError):
        text = f"{_place(error)} isn't on the hub, or this token may not see it ({status}); check the name"
        text += f", or {how_to_log_in()}"
    elif status == 401:
        text = f"the hub doesn't accept the token (401{said}); it may be mistyped, revoked or expired: {how_to_log_in()}"
    elif status == 402:
        text = f"the hub wants to be paid for it first (402{said}): a payment method, credits or a plan at {BILLING_PAGE}"
    elif status == 403 and re.search("quota|storage", error.server_message or "", re.IGNORECASE):
        text = f"the hub has no room for it (403{said}); free some at {STORAGE_PAGE}, or take a larger plan"
    elif status == 403:
        text = f"the hub forbids it (403{said}); if it is about permissions, give the token write access at {TOKEN_PAGE}"
    elif status == 413:
        text = f"it is too large for the hub (413{said})"
    elif status == 429:
        text = f"too many requests (429{said}); wait some minutes, then try again"
    elif status >= 500:
        text = f"the hub has a fault of its own ({status}{said}); try again later, and see https://status.huggingface.co"
    else:
        text = f"the hub refuses it ({status}{said or ': ' + _first_line(error)})"
    return Fault(status, text, may_pass=status in _MAY_PASS)


def how_to_log_in() -> str:
    """What to do to have a token."""
    return f"set HF_TOKEN or hub.token, or run: hf auth login (make a token at {TOKEN_PAGE})"


def _is_of_client(error: BaseException) -> bool:
    """Whether the hub's client was at work when `error` arose."""
    frame = error.__traceback__
    while frame is not None:
        if str(frame.tb_frame.f_globals.get("__name__")).startswith("huggingface_hub."):
            return True
        frame = frame.tb_next
    return False


def _place(error: Any) -> str:
    """`datasets/NAME/REPO` as in its address."""
    kind = f"{error.repo_type}s/" if error.repo_type in ("dataset", "space") else ""
    return f"{kind}{error.repo_id}" if error.repo_id else "the repository"


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
