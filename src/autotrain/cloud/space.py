"""Making a Space, or using again one that is at rest."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.errors import HubError
from autotrain.hub.client import explained

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import SpaceInfo

SLEEP_SECONDS = 604_800  # a week without a visitor; a run keeps its Space awake, and pauses it at its end
_FREE = "cpu-basic"  # whose sleep can't be set
_AT_REST = ("PAUSED", "STOPPED", "SLEEPING", "BUILD_ERROR", "CONFIG_ERROR", "RUNTIME_ERROR", "NO_APP_FILE")


@dataclass(frozen=True, repr=False)
class SpaceRequest:
    """A Space as it is to be.  Has no repr that could be logged: secrets.

    mark: a secret that every Space of this kind has; a Space without it is somebody else's work and left alone.
    """

    repo_id: str
    hardware: str
    secrets: Mapping[str, str]
    variables: Mapping[str, str]
    mark: str

    @property
    def sleep_seconds(self) -> int | None:
        return None if self.hardware == _FREE else SLEEP_SECONDS


@contextmanager
def claimed_space(api: "HfApi", request: SpaceRequest) -> Generator[bool]:
    """A private Space: made, without files yet, or one at rest that is prepared; yields whether it is new.

    Nothing runs and nothing is billed before `fill_space`.  What fails inside, Ctrl-C too, leaves no Space that runs: a
    new one is deleted again, another one paused.  Raises HubError, also if the Space is at work, public or not of ours.
    """
    with explained(f"the Space {request.repo_id}"):
        is_new = not _is_there(api, request)
    try:
        with explained(f"the Space {request.repo_id}"):
            if is_new:
                _create(api, request)
            else:
                _prepare(api, request)
        yield is_new
    except BaseException:  # what the hub did without an answer, and Ctrl-C, are no reason to leave something running
        _leave_nothing_running(api, request.repo_id, is_new=is_new)
        raise


def add_variables(api: "HfApi", repo_id: str, variables: Mapping[str, str]) -> None:
    """Set variables of a Space that is still without a program.  Raises HubError."""
    with explained(f"the Space {repo_id}"):
        for name, value in variables.items():
            api.add_space_variable(repo_id, name, value)


def fill_space(api: "HfApi", repo_id: str, files: Mapping[str, bytes], *, is_new: bool) -> None:
    """Make `files` all that the Space holds, in one commit, and start it.  Raises HubError."""
    with explained(f"uploading AutoTrain itself to the Space {repo_id}"):
        _commit(api, repo_id, files)
        if not is_new:
            api.restart_space(repo_id)


def _leave_nothing_running(api: "HfApi", repo_id: str, *, is_new: bool) -> None:
    """Delete a Space that was made in vain, or pause one that was there before; what can't be done is said."""
    what = f"deleting the Space {repo_id} again" if is_new else f"pausing the Space {repo_id} again"
    try:
        with explained(what):
            if is_new and api.repo_exists(repo_id, repo_type="space"):
                api.delete_repo(repo_id, repo_type="space", missing_ok=True)
                log.info(f"the Space {repo_id} is deleted again; nothing runs there")
            elif not is_new:
                api.pause_space(repo_id)
    except HubError as problem:
        log.error(f"{problem}; it may run and cost: look at {api.endpoint}/spaces/{repo_id}/settings")


def _is_there(api: "HfApi", request: SpaceRequest) -> bool:
    """Whether there is a Space that may be used again, or none.  Raises HubError if there is another."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        there = api.space_info(request.repo_id)
    except RepositoryNotFoundError:
        return False
    if request.mark not in api.get_space_secrets(request.repo_id):
        raise HubError(
            f"the Space {request.repo_id} is there already and wasn't made by this command: its files and secrets would be "
            "replaced; choose another name, or delete it on the hub if nobody needs it"
        )
    _check_at_rest(api, request, there)
    return True


def _create(api: "HfApi", request: SpaceRequest) -> None:
    api.create_repo(
        request.repo_id,
        repo_type="space",
        space_sdk="docker",
        private=True,
        space_hardware=request.hardware,  # pyright: ignore[reportArgumentType]
        space_sleep_time=request.sleep_seconds,
        space_secrets=[{"key": key, "value": value} for key, value in request.secrets.items()],
        space_variables=[{"key": key, "value": value} for key, value in request.variables.items()],
    )


def _check_at_rest(api: "HfApi", request: SpaceRequest, there: "SpaceInfo") -> None:
    if not there.private:
        raise HubError(
            f"the Space {request.repo_id} is there already and is public, so everyone could read its log; make it private "
            "in its settings on the hub, delete it, or choose another name"
        )
    stage = str(api.get_space_runtime(request.repo_id).raw.get("stage"))
    if stage not in _AT_REST:
        raise HubError(
            f"the Space {request.repo_id} is there already and at work ({stage.lower().replace('_', ' ')}); pause it at "
            f"{api.endpoint}/spaces/{request.repo_id}/settings (or: autotrain runs stop), or choose another name"
        )


def _prepare(api: "HfApi", request: SpaceRequest) -> None:
    """Secrets, variables and hardware of a Space that was used before.  Paused, it doesn't start by each change."""
    repo_id = request.repo_id
    api.pause_space(repo_id)
    for name in set(api.get_space_variables(repo_id)) - set(request.variables):
        api.delete_space_variable(repo_id, name)
    for name in set(api.get_space_secrets(repo_id)) - set(request.secrets):
        api.delete_space_secret(repo_id, name)
    for name, value in request.secrets.items():
        api.add_space_secret(repo_id, name, value)
    for name, value in request.variables.items():
        api.add_space_variable(repo_id, name, value)
    runtime = api.get_space_runtime(repo_id)
    # What is requested counts: a Space at rest may still tell what it ran on before.
    if (runtime.requested_hardware or runtime.hardware) != request.hardware:
        api.request_space_hardware(
            repo_id,
            request.hardware,  # pyright: ignore[reportArgumentType]
            sleep_time=request.sleep_seconds,
        )
    elif request.sleep_seconds is not None and runtime.sleep_time != request.sleep_seconds:
        api.set_space_sleep_time(repo_id, request.sleep_seconds)


def _commit(api: "HfApi", repo_id: str, files: Mapping[str, bytes]) -> None:
    """One commit; what the Space held before and isn't in `files` is deleted."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    before = set(api.list_repo_files(repo_id, repo_type="space")) - {".gitattributes"}
    api.create_commit(
        repo_id,
        [
            *(CommitOperationAdd(path, content) for path, content in files.items()),
            *(CommitOperationDelete(path) for path in sorted(before - set(files))),
        ],
        commit_message="AutoTrain",
        repo_type="space",
    )
