"""Push a finished run to the Hugging Face Hub, or take up a push that failed."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.errors import ConfigError, HubError, PushError, RunFolderError
from autotrain.run_folder import INTERRUPTED, TRAINING, read_json, read_state
from autotrain.trainers.clm.params import PARAMS_FILE, LLMTrainingParams

if TYPE_CHECKING:
    from autotrain.hub.contents import Upload
    from autotrain.hub.repo import Target

NOBODY = "YOU"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `autotrain push`."""
    parser.add_argument("run", metavar="RUN", help="folder of a finished run or of a model, or a run's name or number")
    parser.add_argument(
        "--repo", metavar="NAME/REPO", help="where to (default: where it went before, or as its config says)"
    )
    parser.add_argument(
        "--public", action="store_true", help="everyone may see it (default: as its config says, or private)"
    )
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to, made if absent (default: the main one)")
    parser.add_argument("--dry-run", "--dry_run", action="store_true", help="show what would be uploaded where, and stop")


def run(args: argparse.Namespace) -> int:
    """Push, or with --dry-run show what would be.

    Raises RunFolderError, HubError (it can't work), PushError (it failed on the way).
    """
    folder = _folder(args.run)
    params = _params(folder)
    _check_stage(folder)
    from autotrain.hub.contents import uploads

    if args.dry_run:
        sys.stdout.write(_report(uploads(folder), _named(args, folder, params)))
        return 0
    uploads(folder)  # refused before the network is asked
    _push(args, folder, params)
    return 0


def _push(args: argparse.Namespace, folder: Path, params: LLMTrainingParams | None) -> None:
    from autotrain.hub.client import token_of
    from autotrain.hub.push import push_run
    from autotrain.hub.repo import Target

    token = token_of()
    insists = args.public or (params is not None and params.is_explicit("hub_private"))
    target = checked(Target(*_named(args, folder, params)), token, insists=insists)
    try:
        pushed = push_run(folder, target, token)
    except HubError as error:
        raise PushError(f"{error}. {folder} is as it was; try again with the same command") from error
    sys.stdout.write(f"{pushed.url}\n")
    log.info(f"commit {pushed.commit} on {pushed.branch}")


def checked(target: "Target", token: str | None, *, insists: bool = False) -> "Target":
    """`target`, NOBODY replaced by the token's owner, if that may push there.  Changes nothing.  Raises HubError."""
    from autotrain.hub.client import account, how_to_log_in, open_api
    from autotrain.hub.repo import check_target

    if token is None:
        raise HubError(f"push: there is no token; {how_to_log_in()}")
    api = open_api(token)
    owner = account(api)
    target = replace(target, repo_id=target.repo_id.replace(f"{NOBODY}/", f"{owner.name}/", 1))
    check_target(api, owner, target, insists=insists)
    return target


def repo_id_of(said: str) -> str:
    """What --repo names; a name alone is one of the token's owner.  Raises ConfigError."""
    repo_id = said if "/" in said else f"{NOBODY}/{said}"
    if repo_id.count("/") > 1 or not all(repo_id.split("/")):
        raise ConfigError(f"--repo: must be NAME/REPO, the name of a user or an organisation first (got '{said}')")
    return repo_id


def _folder(said: str) -> Path:
    """What the user named: a folder, or a run by its name or number."""
    path = Path(said).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise RunFolderError(f"{said} is a file; give the folder of a run or of a model")
    from autotrain.runs.names import find_entry

    entry = find_entry(said)
    if entry.cloud:
        raise RunFolderError(f"{entry.name} has no folder on this machine; a run in the cloud pushes its result itself")
    if not entry.folder.is_dir():
        raise RunFolderError(
            f"{entry.name} isn't in {entry.folder} any more; if you moved it, give its folder: autotrain push FOLDER"
        )
    return entry.folder


def _params(folder: Path) -> LLMTrainingParams | None:
    """Parameters of the run in `folder`, None if it is only a model."""
    values = read_json(folder / PARAMS_FILE)
    return LLMTrainingParams(**values) if values else None


def _check_stage(folder: Path) -> None:
    state = read_state(folder)
    if state is None:
        return
    if state.stage == TRAINING:
        raise RunFolderError(
            f"the run in {folder} isn't finished (step {state.step} of {state.total_steps}); "
            "go on with autotrain --config YOUR_CONFIG --resume"
        )
    if state.stage == INTERRUPTED:
        log.notice(f"the run in {folder} was interrupted at step {state.step} of {state.total_steps}")


def _named(args: argparse.Namespace, folder: Path, params: LLMTrainingParams | None) -> tuple[str, bool, str | None]:
    """Repository, whether it is made private, and branch; NOBODY stands for the token's owner."""
    from autotrain.hub.push import last_push
    from autotrain.hub.repo import MAIN

    before = last_push(folder)
    name = params.project_name if params else folder.resolve().name
    repo_id = before.repo_id if before else f"{(params.username if params else None) or NOBODY}/{name}"
    repo_id = repo_id_of(args.repo) if args.repo else repo_id
    branch = before.branch if before and not args.repo and before.branch != MAIN else None
    revision = args.revision or branch or (params.hub_revision if params else None)
    return repo_id, not args.public and (params.hub_private if params else True), revision


def _report(files: "list[Upload]", named: tuple[str, bool, str | None]) -> str:
    from autotrain.hub.sizes import size_text

    repo_id, is_private, revision = named
    kind = "private" if is_private else "public"
    total = sum(file.size_bytes for file in files)
    width = max(len(file.path) for file in files)
    lines = [f"  {file.path:<{width}}  {size_text(file.size_bytes)}" for file in files]
    where = f"{repo_id}, branch {revision or 'main'} ({kind}, if it isn't there yet)"
    whose = [f"{NOBODY}: whoever the token belongs to"] if repo_id.startswith(f"{NOBODY}/") else []
    return "\n".join([f"would push {len(files)} files, {size_text(total)}, to {where}:", *lines, *whose, ""])
