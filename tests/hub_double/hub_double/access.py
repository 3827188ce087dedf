"""Finding a repository for a call: what the hub answers to whom about one that is missing, private or gated."""

from hub_double.accounts import LIMITED, Access
from hub_double.protocol import Call, Refused
from hub_double.store import Commit, Repository


def readable(call: Call, kind: str, repo_id: str) -> Repository:
    """The repository, where the caller may know of it. Raises Refused: 401 without a token, 404 with one."""
    repository = call.hub.repositories.get((kind, repo_id))
    access = call.access
    if repository is not None and not repository.private:
        return repository
    if access is None:
        raise Refused(401, "Invalid username or password.", "RepoNotFound")
    if repository is None or not access.belongs_to(repository.namespace):
        raise Refused(404, "Repository not found", "RepoNotFound")
    if not access.may("repo.content.read", repository.namespace):
        raise Refused(403, "Forbidden: your token lacks the permission repo.content.read for this repository")
    return repository


def writable(call: Call, kind: str, repo_id: str) -> tuple[Repository, Access]:
    """The repository that the caller may write to. Raises Refused."""
    repository = readable(call, kind, repo_id)
    access = call.signed_in()
    require(access, "repo.write", repository.namespace, "write to this repository")
    return repository, access


def require(access: Access, permission: str, namespace: str, purpose: str) -> None:
    if not access.belongs_to(namespace):
        raise Refused(403, f'You don\'t have the rights to {purpose}: you are not a member of "{namespace}"')
    if access.may(permission, namespace):
        return
    if access.role == "read":
        raise Refused(403, f"You don't have the rights to {purpose}: this is a read token, use one with the write role")
    if access.role in LIMITED:
        raise Refused(403, f'You don\'t have the rights to {purpose}: the token lacks {permission} for "{namespace}"')
    raise Refused(403, f'You don\'t have the rights to {purpose}: your role in "{namespace}" is read')


def open_gate(call: Call, repository: Repository) -> None:
    """Raises Refused where the repository is gated and the caller has not been let in."""
    access = call.access
    if not repository.gated or (access is not None and access.belongs_to(repository.namespace)):
        return
    address = f"{call.hub.url}/{repository.web_path}"
    if access is None:
        message = f"Access to {repository.kind} {repository.id} is restricted. You must have access to it and be"
        raise Refused(401, f"{message} authenticated to access it. Please log in.", "GatedRepo")
    if access.role in LIMITED and not access.can_read_gated:
        message = "Please enable access to public gated repositories in your fine-grained token settings"
        raise Refused(403, f"{message} to view this repository.", "GatedRepo")
    if access.user.name not in repository.granted:
        message = f"Access to {repository.kind} {repository.id} is restricted and you are not in the authorized list."
        raise Refused(403, f"{message} Visit {address} to ask for access.", "GatedRepo")


def at_revision(repository: Repository, revision: str) -> Commit:
    commit = repository.find(revision)
    if commit is None:
        raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit
