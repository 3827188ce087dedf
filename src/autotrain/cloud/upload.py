"""Local data on their way to a machine in the cloud: a private data set of the user's with the split files, no more."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.config.data_files import locate
from autotrain.errors import ConfigError, HubError
from autotrain.hub.client import explained, open_api
from autotrain.hub.push import showing_progress, size_text
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TRAIN, VALID = "train", "valid"
_CARD = """\
---
configs:
- config_name: default
  data_files:
{files}
tags:
- autotrain
---

Data of the run `{project}`, uploaded from the machine that started it. Nothing needs them once the run is over.
"""


@dataclass(frozen=True)
class SplitFile:
    """A local file and the split, train or valid, that it is uploaded as."""

    split: str
    path: Path

    @property
    def name(self) -> str:
        """Its name in the repository, such as train.jsonl."""
        return f"{self.split}{self.path.suffix.lower()}"

    @property
    def num_bytes(self) -> int:
        return self.path.stat().st_size


def local_splits(params: LLMTrainingParams) -> tuple[SplitFile, ...]:
    """The local files that a run reads, or none if its data are on the hub already.

    Raises DataError for a local path without data, ConfigError for one split here and the other there.
    """
    wanted = [(TRAIN, params.train_split), (VALID, params.valid_split)]
    places = [(split, locate(params.data_path, name, is_valid=split == VALID)) for split, name in wanted if name]
    local = tuple(SplitFile(split, place) for split, place in places if isinstance(place, Path))
    if local and len(local) != len(places):
        raise ConfigError("data: one split is a local file and the other on the hub; put both in one place")
    return local


def data_repo(username: str, project: str) -> str:
    """Id of the data set that a project's local data are uploaded to."""
    return f"{username}/autotrain-data-{project}"


def renamed(params: LLMTrainingParams, splits: Sequence[SplitFile]) -> LLMTrainingParams:
    """`params` with the splits' names as uploaded."""
    names = {split.split for split in splits}
    return params.model_copy(update={"train_split": TRAIN, "valid_split": VALID if VALID in names else None})


@contextmanager
def told_if_left(what: str, repo_id: str, kind: str = "dataset") -> Generator[None]:
    """If what goes on inside fails, Ctrl-C too, say that `what` stays in a repository of the user's, and how it is deleted.

    It isn't deleted: the next try needs it, an earlier run may, and so may a Job whose start wasn't heard of.
    """
    try:
        yield
    except BaseException:
        log.notice(
            f"{what} stays on the hub, in {repo_id} (private); the next try uses it, or if nothing needs it, delete it: "
            f"hf repos delete {repo_id} --type {kind}"
        )
        raise


def upload_data(api: "HfApi", repo_id: str, splits: Sequence[SplitFile], project: str) -> str:
    """Make the private data set or update it, in one commit, and return the commit's id.

    Raises HubError, also where a data set of this name is public: local data are never shown to others.
    """
    files = ", ".join(f"{split.path} ({size_text(split.num_bytes)})" for split in splits)
    log.info(f"uploading {files} to the private data set {repo_id} ...")
    with explained(f"uploading the data to {repo_id}"):
        api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
        there = api.dataset_info(repo_id)
        if not there.private:
            raise HubError(
                f"the data set {repo_id} is there already and is public: local data aren't shown to everyone; "
                "make it private in its settings on the hub, or choose another project_name"
            )
        with told_if_left("a place for the data", repo_id), showing_progress():
            return _commit(api, repo_id, splits, [file.rfilename for file in there.siblings or ()], project)


def _commit(api: "HfApi", repo_id: str, splits: Sequence[SplitFile], old: Sequence[str], project: str) -> str:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    names = {split.name for split in splits}
    stale = [name for name in old if name.startswith((f"{TRAIN}.", f"{VALID}.")) and name not in names]
    commit = api.create_commit(
        repo_id,
        [
            CommitOperationAdd("README.md", _card(splits, project).encode()),
            *(CommitOperationAdd(split.name, str(split.path)) for split in splits),
            *(CommitOperationDelete(name) for name in stale),
        ],
        commit_message=f"Data of {project}",
        repo_type="dataset",
    )
    return commit.oid


def fetch_data(repo_id: str, revision: str, folder: Path, token: str | None) -> Path:
    """Download what `upload_data` uploaded, as plain files into `folder`, which is returned.  Raises HubError."""
    api = open_api(token)
    with explained(f"the data set {repo_id}"):
        api.snapshot_download(
            repo_id,
            repo_type="dataset",
            revision=revision or None,
            local_dir=folder,
            allow_patterns=[f"{TRAIN}.*", f"{VALID}.*"],
        )
    return folder


def _card(splits: Sequence[SplitFile], project: str) -> str:
    lines = [f"  - split: {'validation' if one.split == VALID else TRAIN}\n    path: {one.name}" for one in splits]
    return _CARD.format(files="\n".join(lines), project=project)
