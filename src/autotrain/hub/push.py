"""A run's result on its way to the hub: in one commit, tried again where that may help."""

import os
import sys
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from autotrain import __version__, log
from autotrain.errors import HubError
from autotrain.hub.client import fault_of, hub_errors, open_api
from autotrain.hub.contents import Upload, may_go, uploads
from autotrain.hub.repo import Target, create
from autotrain.hub.sizes import size_text
from autotrain.run_folder import HUB_FILE, held, read_json, write_json

if TYPE_CHECKING:
    from huggingface_hub import HfApi

Result = TypeVar("Result")
# Between tries.  Within one, the client tries each request again by itself for about half a minute.
PAUSES_SECONDS = (5.0, 20.0, 60.0)
_CHUNK_BYTES = 1 << 24
_FEWEST_CHARACTERS = 12  # of a secret in a variable; what is shorter may stand anywhere


@dataclass(frozen=True)
class Pushed:
    """A result on the hub.  url: of its page.  commit: the hub's name for this state."""

    repo_id: str
    branch: str
    url: str
    commit: str


def push_run(folder: Path, target: Target, token: str | None) -> Pushed:
    """Bring the finished run or model in `folder` to `target`, in one commit; what is there of an earlier one is replaced.

    Files of others stay, and large files that got there in an interrupted try aren't sent again.  Notes in the folder
    where it went.  Raises RunFolderError if it holds no whole model or is being written to, HubError if it fails.
    """
    with held(folder):
        files = uploads(folder, target)
        check_no_secret(files, token)
        api = open_api(token)
        retrying(f"making {target}", lambda: create(api, target))
        total = sum(file.size_bytes for file in files)
        log.info(f"pushing {len(files)} files, {size_text(total)}, to {target} ...")
        with showing_progress():
            commit = commit_files(api, target.repo_id, target.branch, files, may_go, f"Push {folder.resolve().name}")
    pushed = Pushed(target.repo_id, target.branch, _page(api.endpoint, target), commit)
    note_push(folder, pushed)
    return pushed


@contextmanager
def showing_progress() -> Generator[None]:
    """Inside, the client shows how far large files are, on a terminal; a log or a pipe gets no bars."""
    from huggingface_hub.constants import HF_HUB_DISABLE_PROGRESS_BARS
    from huggingface_hub.utils import disable_progress_bars, enable_progress_bars

    if HF_HUB_DISABLE_PROGRESS_BARS or not sys.stderr.isatty():
        yield
        return
    enable_progress_bars()
    try:
        yield
    finally:
        disable_progress_bars()


def commit_files(
    api: "HfApi", repo_id: str, branch: str, files: list[Upload], is_ours: Callable[[str], bool], message: str
) -> str:
    """Make `files` what the branch holds of the paths that `is_ours` names, in one commit; returns its name.

    Raises HubError.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    # Kept over the tries: they know what they have uploaded.
    additions = [CommitOperationAdd(file.path, _sent(file.content)) for file in files]
    wanted = {file.path for file in files}

    def commit() -> str:
        there = api.list_repo_files(repo_id, revision=branch)
        stale = [CommitOperationDelete(path) for path in there if is_ours(path) and path not in wanted]
        if stale:
            log.info(f"{repo_id} has {len(stale)} files of an earlier result, which are taken out")
        whole: list[Any] = [*stale, *additions]
        text = f"By AutoTrain {__version__}."
        return api.create_commit(repo_id, whole, commit_message=message, commit_description=text, revision=branch).oid

    return retrying(f"pushing to {repo_id}", commit)


def _sent(content: Path | bytes) -> str | bytes:
    return str(content) if isinstance(content, Path) else content


def retrying(what: str, action: Callable[[], Result]) -> Result:
    """`action`, again after a while where it failed by something that may pass.  Raises HubError."""
    for pause in (*PAUSES_SECONDS, None):
        try:
            return action()
        except HubError as error:
            fault = fault_of(error)
            if fault is None or not fault.may_pass or pause is None:
                raise
        except hub_errors() as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if not fault.may_pass or pause is None:
                raise HubError(f"{what}: {fault.text}") from error
        log.info(f"{what}: {fault.text}; trying again in {pause:.0f} s")
        time.sleep(pause)
    raise AssertionError("unreachable")


def check_no_secret(files: list[Upload], token: str | None) -> None:
    """Raise HubError if the token, or another secret of the environment, stands in one of `files`."""
    secrets = {value.encode(): f"your {name}" for name, value in os.environ.items() if _is_secret(name, value)}
    secrets |= {token.encode(): "your hub token"} if token else {}
    for file in files:
        found = _found_in(file.content, secrets)
        if found is not None:
            raise HubError(f"{file.path} holds {secrets[found]}, so nothing is uploaded; take it out of the file")


def _is_secret(variable: str, value: str) -> bool:
    return len(value) >= _FEWEST_CHARACTERS and variable.endswith(("TOKEN", "API_KEY", "SECRET", "PASSWORD"))


def _found_in(content: Path | bytes, secrets: Collection[bytes]) -> bytes | None:
    """The first of `secrets` in `content`, of which the weights are large."""
    if isinstance(content, bytes):
        return next((secret for secret in secrets if secret in content), None)
    overlap, kept = max(map(len, secrets), default=1), b""
    with content.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            window = kept + chunk
            for secret in secrets:
                if secret in window:
                    return secret
            kept = window[-overlap:]
    return None


def _page(endpoint: str, target: Target) -> str:
    return f"{endpoint}/{target.repo_id}" + (f"/tree/{target.revision}" if target.revision else "")


def note_push(folder: Path, pushed: Pushed) -> None:
    """Note in `folder` where its result went."""
    try:
        write_json(folder / HUB_FILE, asdict(pushed))
    except OSError as problem:
        log.notice(f"{folder / HUB_FILE} can't be written ({problem.strerror})")


def last_push(folder: Path) -> Pushed | None:
    """Where the result in `folder` went, or None if it never got anywhere."""
    noted = read_json(folder / HUB_FILE)
    try:
        return Pushed(**noted)
    except TypeError:
        return None
