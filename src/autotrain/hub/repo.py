"""Where a result goes on the hub, and whether it can get there: all that can be known before training."""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.errors import HubError, Interrupted
from autotrain.hub.client import STORAGE_PAGE, Account, account, explained, how_to_log_in, open_api, token_of
from autotrain.hub.sizes import size_text
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi

MAIN = "main"
_BRANCH = re.compile(r"(?!refs/)[A-Za-z0-9_](?:[A-Za-z0-9_.-]|/(?=[A-Za-z0-9_]))*")
_PROBE = b"---\ntags:\n- autotrain\n---\n"
# A file up to this size is uploaded in one piece, so nothing is begun by asking.
_MOST_BYTES_ASKED = 5_000_000_000


@dataclass(frozen=True)
class Target:
    """A model repository and a branch of it, None for its main one.

    private: how it is made if it isn't there.  is_new: it was made just now.
    """

    repo_id: str
    private: bool = True
    revision: str | None = None
    is_new: bool = field(default=False, compare=False)

    @property
    def branch(self) -> str:
        return self.revision or MAIN

    def __str__(self) -> str:
        return f"{self.repo_id}@{self.revision}" if self.revision else self.repo_id


def target_of(params: LLMTrainingParams, owner: Account) -> Target:
    """Where the result of a run with `params` goes: `username`, or else who owns the token, and the project's name."""
    return Target(f"{params.username or owner.name}/{params.project_name}", params.hub_private, params.hub_revision)


def check_push(params: LLMTrainingParams) -> Target:
    """Where the result will go, if it can: token, permission, name and what is there already.  Changes nothing.

    Raises HubError for what can't work.
    """
    api, owner = _open(params)
    target = target_of(params, owner)
    check_target(api, owner, target, insists=params.is_explicit("hub_private"))
    return target


def make_target(params: LLMTrainingParams, size_bytes: int) -> Target:
    """As `check_push`, then make the repository and its branch, and ask the hub for room for `size_bytes`.

    The last check before training: what is refused here costs nothing.  Raises HubError.
    """
    api, owner = _open(params)
    target = target_of(params, owner)
    check_target(api, owner, target, insists=params.is_explicit("hub_private"))
    target = create(api, target)
    with told_if_left_empty(target):
        _ask_for_room(api, target, size_bytes)
    return target


@contextmanager
def told_if_left_empty(target: Target | None) -> Generator[None]:
    """If what goes on inside fails, say that the repository, made for its result, stays.

    Only making it shows whether the hub lets us, and it isn't ours to delete things there.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        raise  # its result comes when it is resumed
    except BaseException:
        if target is not None and target.is_new:
            log.notice(
                f"{target.repo_id} was made on the hub for the result, and stays there without one; the next try uses it, "
                f"or delete it: hf repos delete {target.repo_id}"
            )
        raise


def _open(params: LLMTrainingParams) -> "tuple[HfApi, Account]":
    token = token_of(params.token)
    if token is None:
        raise HubError(f"push_to_hub: there is no token; {how_to_log_in()}, or set push_to_hub: false")
    api = open_api(token)
    return api, account(api)


def check_target(api: "HfApi", owner: Account, target: Target, *, insists: bool) -> None:
    """Raise HubError unless `owner` may push to `target`, as far as it can be known without changing anything.

    insists: whether the user asked for `target.private`, so that a repository of the other kind is refused.
    """
    from huggingface_hub.errors import RepositoryNotFoundError
    from huggingface_hub.utils import validate_repo_id

    what = f"push_to_hub: {target}"
    if target.repo_id.count("/") != 1:
        raise HubError(f"{what}: must be NAME/REPO, the name of a user or an organisation first")
    if target.revision is not None and not _BRANCH.fullmatch(target.revision):
        raise HubError(f"{what}: '{target.revision}' can't be the name of a branch; use letters, digits, - _ . and /")
    with explained(what):
        validate_repo_id(target.repo_id)
    namespace = target.repo_id.partition("/")[0]
    refusal = owner.refusal("repo.write", namespace, target.repo_id)
    if refusal:
        raise HubError(f"{what}: {refusal}")
    with explained(what):
        try:
            there = api.model_info(target.repo_id)
        except RepositoryNotFoundError:
            return  # it will be made
        _ask_to_write(api, target)
    _check_visibility(target, is_private=bool(there.private), insists=insists)


def _check_visibility(target: Target, *, is_private: bool, insists: bool) -> None:
    if is_private == target.private:
        return
    now, asked = ("private", "public") if is_private else ("public", "private")
    if insists:
        raise HubError(
            f"push_to_hub: {target.repo_id} is there already and is {now}, not {asked}; change that in its settings on the "
            "hub, don't ask for it (hub.private, --public), or choose another name"
        )
    log.notice(f"{target.repo_id} is there already and is {now}: it stays so")


def _ask_to_write(api: "HfApi", target: Target) -> None:
    """Ask how a small file would be uploaded, which only who may write is told.  Nothing is written."""
    from huggingface_hub import CommitOperationAdd

    api.preupload_lfs_files(target.repo_id, [CommitOperationAdd("README.md", _PROBE)], create_pr=False)


def _ask_for_room(api: "HfApi", target: Target, size_bytes: int) -> None:
    """Ask where a file of this size could be uploaded, which a full account is refused.  Nothing is uploaded."""
    from huggingface_hub.lfs import UploadInfo, post_lfs_batch_info

    with explained(f"push_to_hub: room for {size_text(size_bytes)} in {target.repo_id}"):
        _, faults, _ = post_lfs_batch_info(
            upload_infos=[UploadInfo(sha256=secrets.token_bytes(32), size=size, sample=b"") for size in _pieces(size_bytes)],
            token=api.token if isinstance(api.token, str) else None,
            repo_type="model",
            repo_id=target.repo_id,
            endpoint=api.endpoint,
        )
    for fault in faults:
        raise HubError(
            f"push_to_hub: {target.repo_id} has no room for {size_text(size_bytes)}: {fault['error']['message']}; "
            f"free some at {STORAGE_PAGE}, or set push_to_hub: false"
        )


def _pieces(size_bytes: int) -> list[int]:
    whole, rest = divmod(max(size_bytes, 1), _MOST_BYTES_ASKED)
    return [_MOST_BYTES_ASKED] * whole + ([rest] if rest else [])


def create(api: "HfApi", target: Target) -> Target:
    """Make the repository and the branch, where they aren't there yet; the result says if it was made.  Raises HubError."""
    from huggingface_hub.errors import HfHubHTTPError

    with explained(f"push_to_hub: making {target}"):
        try:
            api.create_repo(target.repo_id, private=target.private)
            target = replace(target, is_new=True)
            log.info(f"made on the hub: {target.repo_id}, {'private' if target.private else 'public'}")
        except HfHubHTTPError as error:
            if error.response.status_code not in (401, 402, 403, 409):
                raise
            # It is there, and then the client looks whether we may use it.
            api.create_repo(target.repo_id, private=target.private, exist_ok=True)
        if target.revision is not None:
            api.create_branch(target.repo_id, branch=target.revision, exist_ok=True)
    return target
