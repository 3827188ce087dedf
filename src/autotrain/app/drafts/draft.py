"""A draft: plain values as they were chosen or typed, kept by the browser's number until the run is started."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from autotrain import log
from autotrain.app.drafts.presets import BALANCED, PRESETS, preset_values
from autotrain.app.drafts.tasks import TASKS
from autotrain.app.uploads import Datasets, Refused
from autotrain.trainers.clm.params import LLMTrainingParams

UPLOAD, HUB = "upload", "hub"
STEPS = ("task", "model", "data", "settings", "place", "summary")
VIEWS = ("basic", "all", "json")
COLUMNS = ("text_column", "prompt_text_column", "rejected_text_column", "label_column")
# Chosen in steps of their own, so no settings of the step "settings".
PLACED = frozenset(
    {"model", "project_name", "trainer", "data_path", "train_split", "valid_split", "token", "skip_bad_rows", *COLUMNS}
)
# For several machines, each with a command of its own, or a Ray cluster; the page starts runs on one machine.
ELSEWHERE = frozenset({"nodes", "node_rank", "master", "ray_address", "ray_resources", "ray_storage"})
# The first thing that a name of a run may be made of.
_NO_NAME = re.compile(r"[^A-Za-z0-9]+")
_NAMELESS = frozenset("train training data dataset test file untitled sheet1 export download".split())


@dataclass(frozen=True)
class Draft:
    """step: index of STEPS; reached: the furthest one that was open.

    source: upload or hub.  upload: identity of a data set.  hub_data, hub_train, hub_valid: of one on the hub.
    mapping: columns as chosen; is_mapped: by the user, not by us.  values: settings that the user changed.
    as_chat: questions and answers are written as a conversation, as chat models expect it.
    other_data: a path of a run that is run again.  allowed: paths that were in it.
    """

    step: int = 0
    reached: int = 0
    trainer: str = "sft"
    model: str = ""
    source: str = UPLOAD
    upload: str = ""
    hub_data: str = ""
    hub_train: str = "train"
    hub_valid: str = ""
    other_data: str = ""
    mapping: dict[str, str] = field(default_factory=dict)
    is_mapped: bool = False
    as_chat: bool = False
    skips_bad_rows: bool = True
    preset: str = BALANCED
    values: dict[str, Any] = field(default_factory=dict)
    view: str = "basic"
    backend: str = "local"
    project_name: str = ""
    allowed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "allowed": list(self.allowed)}

    def without_secrets(self) -> dict[str, Any]:
        """`to_dict`, to be written down."""
        return _masked(self.to_dict())

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "Draft":
        """What fits of what was stored, perhaps by an earlier version."""
        draft = cls()
        known = {one.name: type(getattr(draft, one.name)) for one in fields(cls)}
        sound = {
            name: tuple(value) if known[name] is tuple else value
            for name, value in stored.items()
            if name in known and isinstance(value, list if known[name] is tuple else known[name])
        }
        draft = replace(draft, **sound)
        last = len(STEPS) - 1
        return replace(
            draft,
            step=min(max(draft.step, 0), last),
            reached=min(max(draft.reached, draft.step, 0), last),
            trainer=draft.trainer if draft.trainer in TASKS else "sft",
            preset=draft.preset if draft.preset in PRESETS else BALANCED,
            view=draft.view if draft.view in VIEWS else "basic",
            source=draft.source if draft.source in (UPLOAD, HUB) else UPLOAD,
        )


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {log.mask(str(name)): _masked(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return log.mask(value) if isinstance(value, str) else value


def has_data(draft: Draft) -> bool:
    """Whether it is known what is trained on."""
    return bool(draft.hub_data if draft.source == HUB else draft.upload or draft.other_data)


def settings_of(draft: Draft, *, has_validation: bool) -> dict[str, Any]:
    """What the preset sets, and the user's own over it."""
    return {**base_settings(draft, has_validation=has_validation), **draft.values}


def base_settings(draft: Draft, *, has_validation: bool) -> dict[str, Any]:
    """What is set before the user changes anything."""
    template = {"chat_template": "tokenizer"} if draft.as_chat else {}
    return {**preset_values(draft.preset, draft.trainer, has_validation=has_validation), **template}


def parameters_of(draft: Draft, datasets: Datasets) -> dict[str, Any]:
    """As LLMTrainingParams takes them, unchecked.  What is still missing is left out."""
    values: dict[str, Any] = {"trainer": draft.trainer}
    if draft.model:
        values["model"] = draft.model
    values |= _data(draft, datasets)
    wanted = TASKS[draft.trainer].columns
    values |= {field: column for field, column in draft.mapping.items() if column and field in wanted}
    values["skip_bad_rows"] = draft.skips_bad_rows
    values |= settings_of(draft, has_validation="valid_split" in values)
    if draft.project_name:
        values["project_name"] = draft.project_name
    return values


def _data(draft: Draft, datasets: Datasets) -> dict[str, Any]:
    if draft.source == HUB:
        valid = {"valid_split": draft.hub_valid} if draft.hub_valid else {}
        return {"data_path": draft.hub_data, "train_split": draft.hub_train or "train", **valid} if draft.hub_data else {}
    if draft.upload:
        try:
            found = datasets.find(draft.upload)
        except Refused:
            return {}
        valid = {"valid_split": "valid"} if found.has_valid else {}
        return {"data_path": str(found.folder), "train_split": "train", **valid}
    if draft.other_data:
        valid = {"valid_split": draft.hub_valid} if draft.hub_valid else {}
        return {"data_path": draft.other_data, "train_split": draft.hub_train or "train", **valid}
    return {}


def draft_of(params: LLMTrainingParams, backend: str, datasets: Datasets) -> Draft:
    """A run that is run again: all that was set in it, on its last step but for the name."""
    said = params.model_dump(mode="json", exclude={"token"})
    values = {name: said[name] for name in said if params.is_explicit(name) and name not in PLACED | ELSEWHERE}
    last = len(STEPS) - 1
    draft = Draft(
        step=STEPS.index("settings"),
        reached=last,
        trainer=params.trainer,
        model=params.model,
        mapping={name: said[name] for name in COLUMNS if params.is_explicit(name) and said[name]},
        is_mapped=params.is_explicit("text_column"),
        skips_bad_rows=params.skip_bad_rows,
        view="all",
        backend="local" if backend.startswith("local") else backend,
        project_name=params.project_name,
        allowed=(params.model, params.data_path, *filter(None, (params.model_ref, params.chat_template))),
    )
    draft = replace(draft, values=changes_for(values, draft, has_validation=params.valid_split is not None))
    folder = next((one for one in datasets.all() if str(one.folder) == params.data_path), None)
    if folder is not None:
        return replace(draft, upload=folder.identity)
    return replace(draft, other_data=params.data_path, hub_train=params.train_split, hub_valid=params.valid_split or "")


def changes_for(values: Mapping[str, Any], draft: Draft, *, has_validation: bool) -> dict[str, Any]:
    """What has to be changed so that `values` come out: settings that aren't among them go to their defaults."""
    preset = base_settings(draft, has_validation=has_validation)
    defaults = LLMTrainingParams().model_dump(mode="json")
    back = {name: defaults[name] for name in preset if name not in values}
    return {**back, **{name: value for name, value in values.items() if preset.get(name, ...) != value}}


def suggested_name(draft: Draft, data_name: str) -> str:
    """Such as `faq-sft`: letters, digits and hyphens, as a run's name must be."""
    stem = _NO_NAME.sub("-", data_name.rpartition("/")[2].rsplit(".", 1)[0]).strip("-").lower()
    stem = "my-model" if stem in _NAMELESS else stem[:30].strip("-") or "my-model"
    return f"{stem}-{draft.trainer}"


def free_name(name: str, taken: "set[str]") -> str:
    """`name`, or with a number behind it, such that there's no run called so."""
    if name.lower() not in taken:
        return name
    stem = re.sub(r"-\d+$", "", name)[:44]
    return next(f"{stem}-{number}" for number in range(2, 10_000) if f"{stem}-{number}".lower() not in taken)
