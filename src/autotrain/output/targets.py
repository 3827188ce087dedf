"""What a user may name to generate or score: a run, an adapter, a model folder, a GGUF file, a hub id, an embedded model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autotrain.base_models import EMBEDDED, ModelSource, find_model, is_reward_model
from autotrain.errors import ModelError, RunFolderError
from autotrain.output.bases import ADAPTER_CONFIG, base_of, read_adapter
from autotrain.run_folder import RUN_FILE
from autotrain.trainers.clm.params import PARAMS_FILE, LLMTrainingParams


@dataclass(frozen=True)
class Target:
    """model: what is loaded first.  adapter: folder to put onto it.  base: the model before training, where known.

    folder: where the tokenizer may lie.  is_chat: whether training used a chat template; None: unknown.
    """

    model: ModelSource
    adapter: Path | None = None
    base: ModelSource | None = None
    folder: Path | None = None
    is_chat: bool | None = None

    @property
    def has_scores(self) -> bool:
        """Whether what lies in `folder` is a reward model."""
        return self.folder is not None and is_reward_model(self.folder)


def find_target(name: str) -> Target:
    """Resolve what the user named.  Raises RunFolderError for an unfinished run, ModelError for what is no model."""
    folder = Path(name).expanduser()
    if name in EMBEDDED or not folder.is_dir():
        return Target(find_model(name))
    params = _read_params(folder)
    if params is None:
        return _plain_folder(folder)
    is_chat = was_chat(params, _read_run(folder))
    if (folder / ADAPTER_CONFIG).is_file():
        base = find_model(params.model)
        return Target(base, adapter=folder, base=base, folder=folder, is_chat=is_chat)
    if (folder / "config.json").is_file():
        return Target(ModelSource(str(folder)), base=_base_if_there(params), folder=folder, is_chat=is_chat)
    raise RunFolderError(
        f"the run in {folder} isn't finished: it holds no model yet; "
        "continue it with autotrain --config YOUR_CONFIG --resume"
    )


def _plain_folder(folder: Path) -> Target:
    if (folder / ADAPTER_CONFIG).is_file():
        base = base_of(read_adapter(folder))
        return Target(base, adapter=folder, base=base, folder=folder)
    return Target(find_model(str(folder)), folder=folder)


def _base_if_there(params: LLMTrainingParams) -> ModelSource | None:
    try:
        return find_model(params.model)
    except ModelError:
        return None  # a merged or full model needs its base for comparison only


def _read_params(folder: Path) -> LLMTrainingParams | None:
    path = folder / PARAMS_FILE
    if not path.is_file():
        return None
    try:
        return LLMTrainingParams(**json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError, TypeError):
        return None  # another tool's file of the same name


def _read_run(folder: Path) -> Mapping[str, Any]:
    path = folder / RUN_FILE
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        return {}


def was_chat(params: LLMTrainingParams, run: Mapping[str, Any]) -> bool | None:
    """Whether a run trained on conversations: by what run.json recorded, else by the parameters; None: can't be told."""
    resolved = run.get("resolved") or {}
    if "chat_template" in resolved:
        return resolved["chat_template"] is not None
    if params.chat_template is not None:
        return True
    return False if params.is_explicit("chat_template") else None
