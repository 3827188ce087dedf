"""What must hold before anything is made in the cloud: by the configuration alone, and by what the hub says."""

from typing import TYPE_CHECKING

from autotrain import log
from autotrain.cloud.belongings import Belongings, local_models
from autotrain.cloud.hardware import hardware_of, several_gpus_note
from autotrain.cloud.upload import local_splits
from autotrain.errors import ConfigError, HubError
from autotrain.hub.client import account, acting_with, explained, how_to_log_in, open_api, token_of
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi


def check_config(params: LLMTrainingParams, backend: str) -> Belongings:
    """What the configuration and this machine's files decide; the hub isn't asked.  Returns what has to be uploaded.

    Raises ConfigError, DataError, ModelError or RunFolderError.
    """
    from huggingface_hub.utils import validate_repo_id

    hardware_of(backend)
    with explained(f"project_name: the model would be USER/{params.project_name} on the hub"):
        validate_repo_id(f"USER/{params.project_name}")
    if params.is_explicit("push_to_hub") and not params.push_to_hub:
        raise ConfigError(
            f"push_to_hub: false with backend {backend}: the machine's disk is lost at the end, and the model with it; "
            "leave push_to_hub out (the model becomes a private repository of yours), or train with backend: local"
        )
    template = params.chat_template
    if template and ("/" in template or "." in template):
        raise ConfigError(
            f"chat_template: the file {template} lies on this machine, and {backend} is another one; use none, zephyr, "
            "chatml or tokenizer, or put the template into the base model's tokenizer"
        )
    note = several_gpus_note(backend, params.devices)
    if note:
        log.notice(note)
    return Belongings(local_splits(params), local_models(params, backend))


def open_account(params: LLMTrainingParams) -> "tuple[HfApi, str, LLMTrainingParams]":
    """The hub's client, the token, and `params` with the name of whom the run belongs to.

    Raises HubError without a token, or with one that may not make repositories for `username`.
    """
    token = token_of(params.token)
    if token is None:
        raise HubError(f"training in the cloud needs a token with write access: {how_to_log_in()}")
    api = open_api(token)
    owner = account(api)
    username = params.username or owner.name
    refusal = owner.refusal("repo.write", username)
    if refusal:
        raise HubError(f"hub.username: {refusal}")
    return api, token, params.model_copy(update={"username": username})


def check_hub(params: LLMTrainingParams, token: str) -> None:
    """Ask whether the result can be pushed and whether model and data can be had.  Changes nothing.

    Raises HubError, ModelError or DataError.
    """
    from autotrain.hub.look import check_sources
    from autotrain.hub.repo import check_push

    with acting_with(token):
        check_push(params)
        check_sources(params)
