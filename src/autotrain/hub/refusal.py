"""Why a model or data set can't be read from the hub, in words for the person who can mend it."""

from dataclasses import dataclass
from typing import Literal

from autotrain.errors import HubError
from autotrain.hub.client import (
    DEFAULT_ENDPOINT,
    TOKEN_PAGE,
    Account,
    Fault,
    account,
    fault_of,
    how_to_log_in,
    open_api,
    token_of,
)

Kind = Literal["model", "dataset"]


@dataclass(frozen=True)
class Refusal:
    """fault: what the hub, or the way to it, answered.  is_missing: unknown, or private and not to be seen."""

    fault: Fault
    is_gated: bool = False
    is_missing: bool = False


def reason_of(refusal: Refusal, kind: Kind, name: str, near: str) -> str:
    """Why `name` can't be had, and what to do."""
    fault, token = refusal.fault, token_of()
    if fault.status is None:
        return f"{name} is not on this machine{near}, and {fault.text}; or give a local folder"
    owner = _owner(token) if token and fault.status in (401, 403, 404) else None
    if isinstance(owner, Fault) and owner.status == 401:
        return f"{name}: {owner.text}"
    whose = owner if isinstance(owner, Account) else None
    if refusal.is_gated:
        return _gated(kind, name, whose)
    if refusal.is_missing:
        return _missing(kind, name, near, whose)
    return f"{name}: {fault.text}"


def _gated(kind: Kind, name: str, owner: Account | None) -> str:
    page = f"{DEFAULT_ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{name}"
    if owner is None:
        return f"{name} is gated: log in and accept its terms at {page}, then {how_to_log_in()}"
    fine = (
        f"; the token is fine-grained, so it also needs read access to gated repositories ({TOKEN_PAGE})"
        if owner.role == "fineGrained"
        else ""
    )
    return (
        f"{name} is gated, and {owner.name}, whose token is used, has no access: accept its terms at {page} "
        f"(some owners have to approve it){fine}"
    )


def _missing(kind: Kind, name: str, near: str, owner: Account | None) -> str:
    what = "model" if kind == "model" else "data set"
    local = "" if kind == "model" else "'" + name + "' is no local file or folder, and "
    if owner is None:
        return (
            f"{local}no {what} {name} on the hub that everyone may see{near}; check the name, and for a private one "
            f"{how_to_log_in()}"
        )
    fine = (
        f"; a fine-grained token sees the repositories that it names ({TOKEN_PAGE})" if owner.role == "fineGrained" else ""
    )
    return (
        f"{local}no {what} {name} on the hub that {owner.name}, whose token is used, may see{near}; check the name, "
        f"or give another token{fine}"
    )


def _owner(token: str) -> Account | Fault:
    try:
        return account(open_api(token))
    except HubError as error:
        return fault_of(error) or Fault(None, str(error), may_pass=True)
