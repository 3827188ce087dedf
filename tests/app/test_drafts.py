"""A draft becomes parameters: presets, the user's changes over them, and what is wrong in the reader's language."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autotrain.app.drafts.checked import check, taken_names
from autotrain.app.drafts.draft import (
    HUB,
    STEPS,
    Draft,
    changes_for,
    draft_of,
    free_name,
    parameters_of,
    settings_of,
    suggested_name,
)
from autotrain.app.drafts.models import offered_models
from autotrain.app.drafts.presets import PRESETS, preset_values
from autotrain.app.drafts.tasks import TASKS
from autotrain.app.uploads import Datasets
from autotrain.app.words import request_language
from autotrain.app.workspace import Workspace
from autotrain.config.notices import ineffective
from autotrain.trainers.clm.params import LLMTrainingParams


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def datasets(workspace: Workspace) -> Datasets:
    return Datasets(workspace, 1_000_000)


async def one_piece(body: bytes) -> AsyncIterator[bytes]:
    yield body


def drop(datasets: Datasets, name: str = "faq.csv", to: str | None = None) -> str:
    return asyncio.run(datasets.take(name, one_piece(b"question,answer\na,b\n"), to)).identity


def problems(draft: Draft, datasets: Datasets, workspace: Workspace, *, needs_name: bool = False) -> dict[str, str]:
    return check(draft, datasets, workspace, (), needs_name=needs_name).problems


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("trainer", TASKS)
def test_every_preset_is_sound_for_every_method_and_nothing_in_it_is_without_effect(preset: str, trainer: str):
    params = LLMTrainingParams(trainer=trainer, valid_split="valid", **preset_values(preset, trainer, has_validation=True))
    assert ineffective(params) == []
    assert params.peft and params.mixed_precision == "auto"


def test_a_fast_try_trains_less_than_the_best(datasets: Datasets):
    fast, best = (LLMTrainingParams(**preset_values(one, "sft", has_validation=False)) for one in ("fast", "best"))
    assert (fast.epochs, fast.max_hours) == (1, 0.5)
    assert best.epochs > fast.epochs and best.lora_r > fast.lora_r and best.max_hours is None


def test_an_upload_with_a_validation_file_becomes_two_splits_of_a_folder(datasets: Datasets):
    identity = drop(datasets)
    values = parameters_of(Draft(model="m", upload=identity), datasets)
    assert values["data_path"] == str(datasets.find(identity).folder) and "valid_split" not in values
    drop(datasets, "valid.csv", identity)
    assert parameters_of(Draft(model="m", upload=identity), datasets)["valid_split"] == "valid"


def test_only_the_columns_of_the_task_are_set(datasets: Datasets):
    mapping = {"text_column": "a", "prompt_text_column": "q", "rejected_text_column": "r"}
    draft = Draft(model="m", upload=drop(datasets), mapping=mapping)
    assert "rejected_text_column" not in parameters_of(draft, datasets)
    assert parameters_of(replace(draft, trainer="dpo"), datasets)["rejected_text_column"] == "r"


def test_changes_lie_over_the_preset_and_an_empty_json_is_all_defaults():
    draft = Draft(values={"epochs": 7})
    assert settings_of(draft, has_validation=False)["epochs"] == 7
    assert settings_of(draft, has_validation=False)["lora_r"] == 16
    back = replace(draft, values=changes_for({}, draft, has_validation=False))
    params = LLMTrainingParams(**settings_of(back, has_validation=False))
    assert (params.epochs, params.peft, params.lr) == (1, False, 3e-5)


@pytest.mark.parametrize(
    ("values", "field", "english", "chinese"),
    [
        ({"lr": "fast"}, "lr", "must be a number", "必须是数字"),
        ({"epochs": 0}, "epochs", "larger than 0", "大于 0"),
        ({"epochs": 1.5}, "epochs", "whole number", "整数"),
        ({"warmup_ratio": 3}, "warmup_ratio", "at most 1", "不能超过 1"),
        ({"optimizer": "adamw_troch"}, "optimizer", "did you mean adamw_torch", "adamw_torch"),
        ({"padding": "up"}, "padding", "one of: left, right", "其中之一"),
        ({"chat_template": "chatmll"}, "chat_template", "chatml", "chatml"),
        ({"block_size": 4096}, "block_size", "larger than model_max_length (2048)", "model_max_length"),
        ({"block_size": "long"}, "block_size", "number", "整数"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_in_both_languages(
    datasets: Datasets, workspace: Workspace, values: dict[str, object], field: str, english: str, chinese: str
):
    draft = Draft(model="m", upload=drop(datasets), values=dict(values))
    assert english in problems(draft, datasets, workspace)[field]
    token = request_language.set("zh")
    try:
        assert chinese in problems(draft, datasets, workspace)[field]
    finally:
        request_language.reset(token)


def test_what_is_missing_is_said(datasets: Datasets, workspace: Workspace):
    assert set(problems(Draft(), datasets, workspace)) == {"model", "data_path"}
    assert set(problems(Draft(model="m", source=HUB), datasets, workspace)) == {"data_path"}
    assert "data_path" in problems(Draft(model="m", upload="0" * 16), datasets, workspace)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "/etc"},
        {"model": "../../x"},
        {"source": HUB, "hub_data": "/etc"},
        {"source": HUB, "hub_data": "user/set", "hub_train": "../../../etc/passwd"},
        {"other_data": "/etc", "upload": ""},
        {"values": {"chat_template": "/etc/passwd"}},
    ],
)
def test_no_path_leads_out_of_the_workspace(datasets: Datasets, workspace: Workspace, changes: dict[str, object]):
    draft = replace(Draft(model="m", upload=drop(datasets)), **changes)  # type: ignore[arg-type]
    checked = check(draft, datasets, workspace, ())
    assert checked.params is None and checked.problems


def test_a_name_is_free_or_a_number_is_put_behind_it(datasets: Datasets, workspace: Workspace):
    draft = Draft(model="m", upload=drop(datasets))
    assert suggested_name(draft, "Meine FAQ (2024).csv") == "meine-faq-2024-sft"
    assert suggested_name(draft, "训练数据.csv") == suggested_name(draft, "train.jsonl") == "my-model-sft"
    (workspace.root / "faq-sft").mkdir()
    (workspace.root / "faq-sft" / "state.json").write_text("{}")
    assert free_name("faq-sft", taken_names(workspace)) == "faq-sft-2"
    taken = replace(draft, project_name="faq-sft")
    assert "project_name" in problems(taken, datasets, workspace, needs_name=True)
    assert "project_name" in problems(replace(draft, project_name="datasets"), datasets, workspace, needs_name=True)
    assert "project_name" in problems(replace(draft, project_name="a b"), datasets, workspace, needs_name=True)
    assert problems(replace(draft, project_name="fresh"), datasets, workspace, needs_name=True) == {}


def test_a_draft_survives_being_stored_and_what_is_odd_in_the_store(datasets: Datasets):
    draft = Draft(step=3, reached=4, model="m", mapping={"text_column": "a"}, values={"lr": 0.1}, allowed=("/x",))
    assert Draft.from_dict(json.loads(json.dumps(draft.to_dict()))) == draft
    odd = Draft.from_dict({"step": 99, "trainer": "none", "preset": 3, "model": ["x"], "unknown": 1, "view": "x"})
    assert odd == Draft(step=len(STEPS) - 1, reached=len(STEPS) - 1)


def test_a_token_that_was_typed_into_the_wrong_field_is_not_written_down():
    token = "hf_" + "aB3" * 10
    draft = Draft(model=f"me/{token}", values={"username": token, "lr": 0.1, "x": [token]}, project_name="fine")
    assert token not in str(draft.without_secrets())
    assert Draft.from_dict(draft.without_secrets()).values["lr"] == 0.1
    plain = Draft(step=3, model="m", values={"lr": 0.1}, allowed=("/x",))
    assert plain.without_secrets() == plain.to_dict()


def test_a_run_is_run_again_with_all_that_was_set_in_it(datasets: Datasets, workspace: Workspace):
    folder = datasets.find(drop(datasets)).folder
    before = LLMTrainingParams(
        trainer="dpo", model="m", data_path=str(folder), project_name="first", epochs=4, peft=True, lora_r=8, text_column="a"
    )
    again = draft_of(before, "local-ui", datasets)
    made = LLMTrainingParams(**parameters_of(again, datasets))
    said = made.model_dump()
    assert {**said, "skip_bad_rows": False} == {**before.model_dump(), "skip_bad_rows": False}
    recognised = before.model_copy(update={"trainer": "sft"})
    recognised.model_fields_set.discard("text_column")
    assert check(draft_of(recognised, "local", datasets), datasets, workspace, ()).problems == {}
    elsewhere = draft_of(before.model_copy(update={"data_path": "/data/far", "model": "/models/far"}), "local", datasets)
    assert check(elsewhere, datasets, workspace, ()).params is not None  # what was in the run may be used again


def test_a_run_of_several_machines_is_run_again_on_one(datasets: Datasets, tmp_path: Path):
    before = LLMTrainingParams(data_path=str(tmp_path), nodes=2, node_rank=1, master="10.0.0.1:29500", devices=2)
    again = draft_of(before, "local-ui", datasets).values
    assert again["devices"] == 2 and not {"nodes", "node_rank", "master"} & set(again)


@pytest.fixture
def models(workspace: Workspace) -> Iterator[None]:
    for name, file in (
        ("mine", "config.json"),
        ("done", "config.json"),
        ("gguf", "a.gguf"),
        ("adapter", "adapter_config.json"),
    ):
        (workspace.root / name).mkdir()
        (workspace.root / name / file).write_text("{}")
    (workspace.root / "done" / "state.json").write_text("{}")
    yield


@pytest.mark.usefixtures("models")
def test_models_on_offer_are_whole_ones(workspace: Workspace):
    offers = {one.title: one.source for one in offered_models(workspace, ("org/their-own",))}
    offers.pop("smollm2-135m", None)
    assert offers == {"org/their-own": "custom", "done": "run", "mine": "folder", "gguf/a.gguf": "folder"}
