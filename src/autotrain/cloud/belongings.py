"""What a run elsewhere needs of this machine: its local data, and base models in local folders."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.base_models import EMBEDDED, find_model
from autotrain.cloud.bill import Upload
from autotrain.cloud.upload import SplitFile, data_repo, renamed, told_if_left, upload_data
from autotrain.errors import ConfigError, HubError, ModelError, RunFolderError
from autotrain.hub import contents
from autotrain.hub.client import explained
from autotrain.hub.push import check_no_secret, commit_files, showing_progress
from autotrain.hub.repo import MAIN
from autotrain.hub.sizes import size_text
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Parameter -> what its model is called in a config, and in the name of its repository.
_MODELS = {"model": ("base_model", "base"), "model_ref": ("model_ref", "reference")}


@dataclass(frozen=True)
class LocalModel:
    """A model in a folder here.  parameter: model or model_ref.  name: as the user said it."""

    parameter: str
    name: str
    files: tuple[contents.Upload, ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def repo_id(self, username: str, project: str) -> str:
        """The model repository that it is uploaded to."""
        return f"{username}/autotrain-{_MODELS[self.parameter][1]}-{project}"


@dataclass(frozen=True)
class Belongings:
    """Local data, none if they are on the hub already, and local models."""

    splits: tuple[SplitFile, ...] = ()
    models: tuple[LocalModel, ...] = ()

    def made(self, username: str, project: str) -> list[str]:
        """The repositories that they are uploaded to, a line each."""
        data = [f"data set {data_repo(username, project)}: private, with your data files"] if self.splits else []
        models = [f"model {one.repo_id(username, project)}: private, with your model {one.name}" for one in self.models]
        return [*data, *models]

    def uploads(self, username: str, project: str) -> list[Upload]:
        """What is uploaded of them."""
        data = data_repo(username, project)
        models = [
            Upload(f"{one.name}, {len(one.files)} files -> model {one.repo_id(username, project)}", one.num_bytes)
            for one in self.models
        ]
        return [*(Upload(f"{one.path} -> data set {data}, {one.name}", one.num_bytes) for one in self.splits), *models]

    def elsewhere(self, params: LLMTrainingParams, username: str) -> LLMTrainingParams:
        """`params` with their names on the hub in place of those on this machine."""
        project = params.project_name
        names = {one.parameter: one.repo_id(username, project) for one in self.models}
        if not self.splits:
            return params.model_copy(update=names)
        return renamed(params, self.splits).model_copy(update={**names, "data_path": data_repo(username, project)})


def local_models(params: LLMTrainingParams, backend: str) -> tuple[LocalModel, ...]:
    """The models in local folders.  Raises ModelError, RunFolderError or ConfigError for what can't be uploaded."""
    named = [(parameter, getattr(params, parameter)) for parameter in _MODELS]
    return tuple(_local_model(parameter, name, backend) for parameter, name in named if name and _is_local(name))


def _local_model(parameter: str, name: str, backend: str) -> LocalModel:
    key, folder = _MODELS[parameter][0], Path(name).expanduser()
    try:
        found = find_model(name)
    except ModelError as problem:
        raise ModelError(str(problem).replace("base_model:", f"{key}:", 1)) from problem
    if found.gguf_file is not None:
        raise ConfigError(
            f"{key}: {name} is a GGUF file on this machine, and {backend} is another one; give a folder with "
            "safetensors, the id of a model on the hub, or train with backend: local"
        )
    try:
        return LocalModel(parameter, name, tuple(contents.model_files(folder)))
    except RunFolderError as problem:
        raise ConfigError(
            f"{key}: {name} can't be uploaded for {backend}, as it holds no whole model in safetensors; save it so, upload "
            f"it yourself and give its id (hf upload USER/NAME {name}), or train with backend: local"
        ) from problem


def _is_local(name: str) -> bool:
    path = Path(name).expanduser()
    return name not in EMBEDDED and (
        path.exists() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1
    )


@contextmanager
def brought(api: "HfApi", params: LLMTrainingParams, belongings: Belongings, token: str) -> Generator[str]:
    """Upload them; yields the commit of the data set, "" without one.  What fails inside is told what stays on the hub.

    Raises HubError, also where a repository of such a name is public.
    """
    username, project = params.username or "", params.project_name
    for model in belongings.models:
        check_no_secret(list(model.files), token)
    with ExitStack() as left:
        revision = ""
        if belongings.splits:
            repo_id = data_repo(username, project)
            revision = upload_data(api, repo_id, belongings.splits, project)
            left.enter_context(told_if_left("a copy of your data", repo_id))
        for model in belongings.models:
            repo_id = model.repo_id(username, project)
            _upload_model(api, repo_id, model)
            left.enter_context(told_if_left(f"a copy of {model.name}", repo_id, "model"))
        yield revision


def _upload_model(api: "HfApi", repo_id: str, model: LocalModel) -> None:
    log.info(f"uploading {model.name} ({size_text(model.num_bytes)}) to the private model {repo_id} ...")
    with explained(f"uploading {model.name} to {repo_id}"):
        api.create_repo(repo_id, private=True, exist_ok=True)
        if not api.model_info(repo_id).private:
            raise HubError(
                f"the model {repo_id} is there already and is public: local models aren't shown to everyone; "
                "make it private in its settings on the hub, or choose another project_name"
            )
    with told_if_left(f"a place for {model.name}", repo_id, "model"), showing_progress():
        commit_files(
            api, repo_id, MAIN, list(model.files), contents.may_go, f"Upload {model.name.rstrip('/').rpartition('/')[2]}"
        )
