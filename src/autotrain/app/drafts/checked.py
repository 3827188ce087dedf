"""A draft's parameters, checked on the server: sound, or with a sentence for each field that isn't."""

from collections.abc import Collection
from dataclasses import dataclass

from pydantic import ValidationError

from autotrain.app.drafts.complaints import told
from autotrain.app.drafts.draft import Draft, has_data, parameters_of
from autotrain.app.drafts.tasks import TASKS
from autotrain.app.inside import check_inside
from autotrain.app.uploads import Datasets
from autotrain.app.words import t
from autotrain.app.workspace import Workspace
from autotrain.errors import ConfigError
from autotrain.run_folder import is_run
from autotrain.trainers.clm.params import LLMTrainingParams

_RESERVED = frozenset({"datasets"})
# A name for looking at data before the run has one.
UNNAMED = "new-run"


@dataclass(frozen=True)
class Checked:
    """params: None if `problems` keep them from being made.  problems: field -> sentence, "" for the whole."""

    params: LLMTrainingParams | None
    problems: dict[str, str]


def check(
    draft: Draft, datasets: Datasets, workspace: Workspace, offered: Collection[str], *, needs_name: bool = False
) -> Checked:
    """offered: base models that may be used wherever they lie.  needs_name: the run is about to start."""
    problems: dict[str, str] = {}
    if not draft.model:
        problems["model"] = t("new.model_missing")
    if not has_data(draft):
        problems["data_path"] = t("new.data_missing")
    values = parameters_of(draft, datasets)
    if has_data(draft) and "data_path" not in values:
        problems["data_path"] = t("upload.unknown")
    for field in TASKS[draft.trainer].columns:
        if field == "text_column" and draft.is_mapped and not draft.mapping.get(field):
            problems[field] = t("new.column_missing")
    if not needs_name:
        values.setdefault("project_name", UNNAMED)
    elif not draft.project_name:
        problems["project_name"] = t("complaints.name")
    try:
        params = LLMTrainingParams(**values)
    except ValidationError as error:
        return Checked(None, {**told(error), **problems})
    if needs_name and "project_name" not in problems:
        problems |= _name_problem(draft.project_name, workspace)
    if not problems:
        try:
            check_inside(params, workspace, {*offered, *draft.allowed})
        except ConfigError as error:
            field, _, sentence = str(error).partition(": ")
            problems[field if field in values else ""] = _outside(field, sentence)
    return Checked(params if not problems else None, problems)


def _outside(field: str, sentence: str) -> str:
    return t("new.outside") if "outside the workspace" in sentence else f"{field}: {sentence}"


def _name_problem(name: str, workspace: Workspace) -> dict[str, str]:
    folder = workspace.root / name
    if name.lower() in _RESERVED or is_run(folder) or (folder.is_dir() and any(folder.iterdir())):
        return {"project_name": t("new.name_taken")}
    return {}


def taken_names(workspace: Workspace) -> set[str]:
    """Names of all folders there, in small letters."""
    folders = workspace.root.glob("*/") if workspace.root.is_dir() else ()
    return {*_RESERVED, *(folder.name.lower() for folder in folders)}
