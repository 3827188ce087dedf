"""The front matter of a model card: what the hub reads of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autotrain.base_models import EMBEDDED, find_model
from autotrain.config.data_files import HubSplit, locate, parse_hub_split
from autotrain.errors import DataError, ModelError
from autotrain.hub.licence import OTHER, Licence, local_card, local_licence
from autotrain.hub.look import licence_on_hub
from autotrain.trainers.clm.params import LLMTrainingParams

# As the hub accepts it for a base model; another name would make it refuse the whole card.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, by names that others can follow; None where they can't, or it isn't known.

    base: on the hub, of the base model, or of what that was made from.  data_set: on the hub.  licence: of the base.
    """

    base: str | None
    data_set: str | None
    licence: Licence | None


def origin_of(params: LLMTrainingParams) -> Origin:
    """Of a base on the hub, the hub is asked for its licence, where it can be."""
    name = params.model
    if _is_on_hub(name):
        return Origin(name, _hub_data_set(params), licence_on_hub(name))
    return Origin(EMBEDDED[name][3] if name in EMBEDDED else _known_base(name), _hub_data_set(params), local_licence(name))


def front_matter(params: LLMTrainingParams, run: Mapping[str, Any], origin: Origin, *, is_adapter: bool) -> str:
    """YAML between its two lines of dashes, as huggingface_hub.ModelCard and the hub accept it."""
    pipeline = "text-classification" if params.trainer == "reward" else "text-generation"
    fields: dict[str, Any] = {
        **(origin.licence or Licence(OTHER)).fields,
        "library_name": "peft" if is_adapter else "transformers",
        "pipeline_tag": pipeline,
        "tags": ["autotrain", *_tags(params, pipeline), *(["peft", "lora"] if is_adapter else [])],
    }
    if origin.base:
        fields |= {"base_model": origin.base, "base_model_relation": "adapter" if is_adapter else "finetune"}
    if origin.data_set:
        fields["datasets"] = [origin.data_set]
    metrics = _metrics(params, run) if origin.data_set and params.valid_split else []
    if origin.data_set and metrics:  # numbers on data that others can't see would only look comparable
        result = {"task": {"type": pipeline}, "dataset": _data_set(origin.data_set, params), "metrics": metrics}
        fields["model-index"] = [{"name": params.project_name, "results": [result]}]
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n\n"


def _is_on_hub(name: str) -> bool:
    if name in EMBEDDED:
        return False
    try:
        return not Path(find_model(name).path).exists()
    except ModelError:
        return False


def _known_base(name: str) -> str | None:
    """The hub model that a local one was made from, by the card in its folder."""
    path = Path(name).expanduser()
    said = local_card(path.parent if path.is_file() else path).get("base_model")
    said = said[0] if isinstance(said, list) and len(said) == 1 else said
    return said if isinstance(said, str) and _HUB_ID.fullmatch(said) and not Path(said).exists() else None


def _hub_data_set(params: LLMTrainingParams) -> str | None:
    if Path(params.data_path).expanduser().exists():
        return None
    try:
        where = locate(params.data_path, params.train_split)
    except DataError:
        return None  # it was local, and is gone
    return where.name if isinstance(where, HubSplit) else None


def _data_set(name: str, params: LLMTrainingParams) -> dict[str, str]:
    where = parse_hub_split(name, params.valid_split or "")
    return {"type": name, "name": name, **({"config": where.config} if where.config else {}), "split": where.split}


def _tags(params: LLMTrainingParams, pipeline: str) -> list[str]:
    """What the hub filters by; the method, where it is one of preference learning."""
    if params.trainer == "reward":
        return [pipeline, "reward-model"]
    method = [] if params.trainer in ("default", "sft") else [params.trainer, "preference-learning"]
    return ["text-generation-inference", pipeline, *method]


def _metrics(params: LLMTrainingParams, run: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Results on the validation split."""
    loss = (run.get("results") or {}).get("eval_loss")
    accuracy = (run.get("evaluation") or {}).get("accuracy")
    found = [
        ("loss", f"validation loss ({params.trainer})", loss),
        ("accuracy", "pairs whose chosen answer scores higher", accuracy),
    ]
    return [
        {"type": kind, "name": name, "value": round(float(value), 6)}
        for kind, name, value in found
        if isinstance(value, int | float)
    ]
