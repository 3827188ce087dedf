"""What a machine in the cloud is told, and how it is read there: environment variables, written here, read by autotrain.api.

The names without AUTOTRAIN_ are AutoTrain's own.  The token is only ever in HF_TOKEN, which is a secret of the machine.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import SecretStr, ValidationError

from autotrain.config.base import describe
from autotrain.errors import ConfigError
from autotrain.hub.checkpoints import START_VARIABLE
from autotrain.trainers.clm.params import LLMTrainingParams

# AutoTrain's number for the training of language models.
_TASK_ID = "9"
RUN, _RESUME, _DATA_REVISION = START_VARIABLE, "AUTOTRAIN_RESUME", "AUTOTRAIN_DATA_REVISION"
# Of the user's environment, where they are set: what holds for the hub and for what a tracker needs to log in.
_PASSED_ON = ("HF_ENDPOINT", "ALLOW_REMOTE_CODE", "PAUSE_ON_FAILURE")
_OF_TRACKERS = MappingProxyType(
    {
        "wandb": ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_BASE_URL"),
        "mlflow": ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    }
)
_YES = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class Handover:
    """A run as it is given to a machine in the cloud.

    params: as they hold there, the token not included.
    run: an id of this start, the same in everything that is said about it.
    resume: go on from the checkpoint that an earlier machine pushed.
    data_revision: the commit of the data set repository that `data_path` names, whose files are to be read as local ones;
        "" if `data_path` is any data set of the hub.
    """

    params: LLMTrainingParams
    run: str
    resume: bool = False
    data_revision: str = ""


def new_run_id() -> str:
    """Tells one start from another that used the same Space."""
    return secrets.token_hex(4)


def for_the_cloud(params: LLMTrainingParams, username: str, data_path: str, max_hours: float | None) -> LLMTrainingParams:
    """`params` as they hold on a machine whose disk is lost at the end: the result is pushed, and so are checkpoints.

    username: whose repository it is pushed to.  data_path: a data set on the hub.  max_hours: None for no bound.
    """
    changed: dict[str, Any] = {"username": username, "data_path": data_path, "push_to_hub": True}
    if not params.is_explicit("push_checkpoints"):
        changed["push_checkpoints"] = params.save_strategy != "no"
    if max_hours is not None:
        changed["max_hours"] = max_hours
    return params.model_copy(update=changed)


def secrets_of(handover: Handover, token: str) -> dict[str, str]:
    """The machine's secrets.  PARAMS doesn't hold the token."""
    params = handover.params
    return {
        "HF_TOKEN": token,
        "AUTOTRAIN_USERNAME": params.username or "",
        "PROJECT_NAME": params.project_name,
        "TASK_ID": _TASK_ID,
        "PARAMS": params.to_json(),
        "DATA_PATH": params.data_path,
        "MODEL": params.model,
        **_set_here([name for tracker in params.trackers for name in _OF_TRACKERS.get(tracker, ())]),
    }


def variables_of(handover: Handover) -> dict[str, str]:
    """The machine's variables, which are no secrets."""
    said = {RUN: handover.run, _RESUME: "1" if handover.resume else "", _DATA_REVISION: handover.data_revision}
    return {name: value for name, value in said.items() if value} | _set_here(_PASSED_ON)


def _set_here(names: Sequence[str]) -> dict[str, str]:
    return {name: value for name in names if (value := os.environ.get(name))}


def is_handed_over(environment: Mapping[str, str]) -> bool:
    """Whether the environment says what to train."""
    return bool(environment.get("PARAMS"))


def read_handover(environment: Mapping[str, str]) -> Handover:
    """What `secrets_of` and `variables_of` wrote; the token is put into the parameters.  Raises ConfigError."""
    missing = [name for name in ("PARAMS", "HF_TOKEN") if not environment.get(name)]
    if missing:
        raise ConfigError(
            f"the environment lacks {' and '.join(missing)}; autotrain sets it on a Space or Job that it starts "
            "(backend: spaces-... or jobs-...)"
        )
    try:
        params = LLMTrainingParams.model_validate_json(environment["PARAMS"])
    except ValidationError as error:
        raise describe(error, "the variable PARAMS") from error
    return Handover(
        params.model_copy(update={"token": SecretStr(environment["HF_TOKEN"])}),
        environment.get(RUN, ""),
        resume=environment.get(_RESUME, "").lower() in _YES,
        data_revision=environment.get(_DATA_REVISION, ""),
    )
