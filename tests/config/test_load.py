"""The documented config grammar becomes parameters; every fault is named at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from autotrain.config.load import Config, documented_keys, load_config
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import ANSWERS

MINIMAL: dict[str, Any] = {"task": "llm-sft", "base_model": "gpt2", "project_name": "run", "data": {"path": "rows.csv"}}


def load(folder: Path, values: Any, environment: dict[str, str] | None = None, *, dry_run: bool = False) -> Config:
    file = folder / "c.yml"
    file.write_text(values if isinstance(values, str) else yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return load_config(str(file), dry_run=dry_run, environment=environment or {})


def refusal(folder: Path, values: Any, environment: dict[str, str] | None = None, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, values, environment, **options)
    return str(caught.value).replace(str(folder) + "/", "")


def test_four_keys_are_enough(tmp_path: Path):
    config = load(tmp_path, MINIMAL)
    assert (config.params.model, config.params.project_name, config.params.data_path) == ("gpt2", "run", "rows.csv")
    assert (config.params.trainer, config.backend, config.params.log, config.params.train_split) == (
        "sft",
        "local",
        "none",
        "train",
    )


def test_every_documented_key_reaches_its_field(tmp_path: Path):
    values = MINIMAL | {
        "log": "tensorboard",
        "backend": "local-ui",
        "data": {
            "path": "./my data/r$ws.jsonl",
            "train_split": "a:b",
            "valid_split": "c",
            "chat_template": "chatml",
            "column_mapping": {"text_column": "x", "rejected_text_column": "y", "prompt_text_column": "z"},
        },
        "params": {"lr": "3e-5", "block_size": 512, "peft": True},
        "hub": {"username": "me", "token": "secret", "push_to_hub": False},
    }
    config = load(tmp_path, values)
    params = config.params
    assert config.backend == "local-ui"
    assert (params.log, params.data_path, params.train_split, params.valid_split) == (
        "tensorboard",
        "./my data/r$ws.jsonl",
        "a:b",
        "c",
    )
    assert (params.text_column, params.rejected_text_column, params.prompt_text_column) == ("x", "y", "z")
    assert (params.chat_template, params.lr, params.block_size, params.peft) == ("chatml", 3e-5, 512, True)
    assert params.username == "me" and params.token and params.token.get_secret_value() == "secret"


def test_short_column_keys_work(tmp_path: Path):
    columns = {"text": "x", "rejected_text": "y", "prompt": "z"}
    params = load(tmp_path, MINIMAL | {"data": {"path": "d", "column_mapping": columns}}).params
    assert (params.text_column, params.rejected_text_column, params.prompt_text_column) == ("x", "y", "z")


@pytest.mark.parametrize(
    ("task", "trainer"),
    [
        *(("llm", "default"), ("lm_training", "default"), ("llm-generic", "default"), ("llm-default", "default")),
        *((f"llm{mark}{name}", name) for mark in "-:" for name in ("sft", "reward", *ANSWERS)),
        ("llm:generic", "default"),
    ],
)
def test_every_task_alias_chooses_its_trainer(tmp_path: Path, task: str, trainer: str):
    assert load(tmp_path, MINIMAL | {"task": task}).params.trainer == trainer


@pytest.mark.parametrize(
    ("params", "loss_type", "loss_weights"),
    [
        ({}, "sigmoid", None),
        ({"loss_type": "Hinge"}, "hinge", None),
        ({"loss_type": "sigmoid, ipo", "loss_weights": "0.8, 0.2"}, ["sigmoid", "ipo"], [0.8, 0.2]),
        ({"loss_type": ["sigmoid", "ipo"], "loss_weights": [1, 0.5]}, ["sigmoid", "ipo"], [1.0, 0.5]),
        ({"loss_type": ["aot"], "loss_weights": 0.5}, "aot", [0.5]),
        ({"loss_weights": "none"}, "sigmoid", None),
    ],
)
def test_several_formulas_of_dpo_are_a_list_or_text_with_commas(tmp_path: Path, params, loss_type, loss_weights):
    read = load(tmp_path, MINIMAL | {"params": params}).params
    assert (read.loss_type, read.loss_weights) == (loss_type, loss_weights)


def test_the_column_of_labels_can_be_mapped(tmp_path: Path):
    values = MINIMAL | {"task": "llm-kto", "data": {"path": "rows.csv", "column_mapping": {"label_column": "good"}}}
    assert load(tmp_path, values).params.label_column == "good"


def test_params_win_over_all_else(tmp_path: Path):
    params = {"trainer": "orpo", "model": "other", "train_split": "mine", "text_column": "t", "token": "b", "log": "wandb"}
    config = load(tmp_path, MINIMAL | {"log": "none", "params": params, "hub": {"token": "a"}})
    chosen = config.params
    assert (chosen.trainer, chosen.model, chosen.train_split, chosen.text_column, chosen.log) == (
        "orpo",
        "other",
        "mine",
        "t",
        "wandb",
    )
    assert chosen.token and chosen.token.get_secret_value() == "b"
    assert "params.trainer (orpo) wins over task (llm-sft)" in config.notes


def test_null_outside_params_means_not_given(tmp_path: Path):
    data = {"path": "d", "train_split": None, "valid_split": None, "chat_template": None, "column_mapping": None}
    params = load(tmp_path, MINIMAL | {"log": None, "backend": None, "data": data, "hub": None, "params": None}).params
    assert params.model_fields_set == {"trainer", "model", "project_name", "data_path"}


def test_null_in_params_is_a_value(tmp_path: Path):
    params = load(tmp_path, MINIMAL | {"params": {"quantization": None, "chat_template": None}}).params
    assert params.quantization is None and params.is_explicit("quantization")
    assert not params.is_explicit("chat_template")  # null is how AutoTrain's configs leave it out


def test_chat_template_none_in_words_is_a_choice(tmp_path: Path):
    params = load(tmp_path, MINIMAL | {"data": {"path": "d", "chat_template": "none"}}).params
    assert params.chat_template is None and params.is_explicit("chat_template")


def test_a_bare_no_of_yaml_and_lists_of_names_mean_what_they_look_like(tmp_path: Path):
    path = tmp_path / "c.yml"
    path.write_text(
        "task: llm-sft\nbase_model: m\nproject_name: p\nlog: [tensorboard, wandb]\ndata:\n  path: d\n  valid_split: no\n"
        "params:\n  eval_strategy: no\n  save_strategy: no\n  quantization: no\n  early_stopping_patience: no\n"
        "  target_modules: [q_proj, v_proj]\n",
        encoding="utf-8",
    )
    params = load_config(str(path)).params
    assert (params.eval_strategy, params.save_strategy, params.quantization) == ("no", "no", None)
    assert (params.valid_split, params.early_stopping_patience) == (None, None)
    assert params.trackers == ("tensorboard", "wandb")
    assert params.target_module_names == ["q_proj", "v_proj"]


def test_defect_5_lists_and_texts_of_block_sizes(tmp_path: Path):
    assert load(tmp_path, MINIMAL | {"params": {"block_size": [512, 256]}}).params.block_size == [256, 512]
    assert load(tmp_path, MINIMAL | {"params": {"block_size": "512, 256"}}).params.block_size == [256, 512]


def test_variables_are_replaced_anywhere(tmp_path: Path):
    values = MINIMAL | {
        "project_name": "run-${NAME}",
        "data": {"path": "${DATA:-rows}/x.csv", "column_mapping": {"text": "${COLUMN}"}},
        "params": {"epochs": "${EPOCHS}", "peft": "${PEFT:-true}"},
    }
    params = load(tmp_path, values, {"NAME": "a", "COLUMN": "c", "EPOCHS": "3"}).params
    assert (params.project_name, params.data_path, params.text_column) == ("run-a", "rows/x.csv", "c")
    assert (params.epochs, params.peft) == (3, True)


def test_hub_variables_may_be_unset_where_nothing_is_pushed(tmp_path: Path):
    hub = {"username": "${HF_USERNAME}", "token": "${HF_TOKEN}", "push_to_hub": False}
    config = load(tmp_path, MINIMAL | {"hub": hub})
    assert config.params.token is None and config.params.username is None
    assert any("hub.username and hub.token" in note for note in config.notes)


def test_hub_variables_are_needed_to_push_but_not_in_a_dry_run(tmp_path: Path):
    values = MINIMAL | {"hub": {"token": "${HF_TOKEN}", "push_to_hub": True}}
    message = refusal(tmp_path, values)
    assert "hub.token" in message and "HF_TOKEN isn't set" in message and "export HF_TOKEN=" in message
    assert load(tmp_path, values, dry_run=True).params.push_to_hub


def test_hub_variables_are_needed_in_the_cloud(tmp_path: Path):
    values = MINIMAL | {"backend": "spaces-t4-small", "hub": {"token": "${HF_TOKEN}"}}
    assert "HF_TOKEN isn't set" in refusal(tmp_path, values)


def test_all_faults_come_in_one_message_with_their_lines(tmp_path: Path):
    message = refusal(
        tmp_path,
        "task: llm-sfft\nbase_model: m\nproject_name: p\ndata:\n  pth: x\nparams:\n  learning_rate: 1\n  epochs: 2.5\n",
    )
    assert message.startswith("c.yml: 5 problems")
    assert "c.yml:1: task: no task 'llm-sfft'; did you mean 'llm-sft'?" in message
    assert "c.yml:5: data.pth: unknown key; did you mean 'path'?" in message
    assert "c.yml:7: params.learning_rate: unknown key; here it is called 'lr'" in message
    assert "c.yml:8: params.epochs: must be a whole number (got 2.5)" in message
    assert "data.path: is missing; give a data file" in message
    assert "keys of data: column_mapping, chat_template, path, train_split, valid_split" in message


UNKNOWN_KEYS = [
    ({"lr": 1}, "lr: unknown key; it belongs elsewhere: params.lr"),
    ({"model": "x"}, "model: unknown key; it belongs elsewhere: base_model"),
    ({"learning_rate": 1}, "learning_rate: unknown key; here it is called 'params.lr'"),
    ({"Task": "llm"}, "Task: unknown key; did you mean 'task'?"),
    ({"path": "x"}, "path: unknown key; it belongs under data"),
    (
        {"data": {"path": "d", "text_column": "x"}},
        "data.text_column: unknown key; it belongs elsewhere: data.column_mapping.text_column",
    ),
    ({"data": {"path": "d", "push_to_hub": True}}, "data.push_to_hub: unknown key; it belongs elsewhere: hub.push_to_hub"),
    ({"data": {"path": "d", "column_mapping": {"txt": "x"}}}, "data.column_mapping.txt: unknown key; did you mean 'text'?"),
    ({"params": {"warmupratio": 1}}, "params.warmupratio: unknown key; did you mean 'warmup_ratio'?"),
    ({"params": {"per_device_train_batch_size": 1}}, "here it is called 'batch_size'"),
    ({"params": {"num_gpus": 2}}, "here it is called 'devices'"),
    ({"params": {"nnodes": 2}}, "here it is called 'nodes'"),
    ({"params": {"master_addr": "10.0.0.1"}}, "here it is called 'master'"),
    ({"params": {"deepspeed": "zero3.json"}}, "here it is called 'distributed_backend: fsdp'"),
    ({"params": {"num_train_epochs": 1}}, "here it is called 'epochs'"),
    ({"params": {"evaluation_strategy": "no"}}, "here it is called 'eval_strategy'"),
    ({"params": {"cutoff_len": 1}}, "here it is called 'block_size'"),
    ({"params": {"sequence_len": 1}}, "here it is called 'block_size'"),
    ({"params": {"load_in_4bit": True}}, "here it is called 'quantization: int4'"),
    ({"params": {"task": "llm"}}, "params.task: unknown key; it belongs at the top level"),
    ({"hub": {"tokn": "x"}}, "hub.tokn: unknown key; did you mean 'token'?"),
    ({"zzz": 1}, "zzz: unknown key"),
]


@pytest.mark.parametrize(("extra", "expected"), UNKNOWN_KEYS)
def test_an_unknown_key_is_refused_with_the_right_one(tmp_path: Path, extra: dict[str, Any], expected: str):
    message = refusal(tmp_path, MINIMAL | extra)
    assert expected in message
    assert "\nkeys " in message  # what is allowed


BAD_VALUES = [
    ({"lr": "fast"}, "params.lr: must be a number (got 'fast')"),
    ({"lr": None}, "params.lr: must be a number (got None)"),
    ({"lr": True}, "params.lr: must be a number (got True)"),
    ({"epochs": True}, "params.epochs: must be a whole number (got True)"),
    ({"max_hours": True}, "params.max_hours: must be a number (got True)"),
    ({"mixed_precision": "fp32"}, "params.mixed_precision: must be one of fp16, bf16, auto, none (got 'fp32')"),
    ({"target_modules": ["q_proj", 1]}, "params.target_modules: must be text"),
    ({"lr": ".nan"}, "params.lr: must be a number"),
    ({"epochs": 0}, "params.epochs: must be greater than 0 (got 0)"),
    ({"peft": "maybe"}, "params.peft: must be true or false (got 'maybe')"),
    ({"block_size": "foo"}, "params.block_size: must be a whole number (got 'foo')"),
    ({"block_size": [1, "foo"]}, "params.block_size: must be a number of tokens, or a list of them"),
    ({"quantization": "int44"}, "params.quantization: must be one of int4, int8, none (got 'int44'); did you mean 'int4'?"),
    (
        {"trainer": "grpo"},
        "params.trainer: must be one of default, sft, reward, dpo, orpo, ipo, simpo, cpo, kto (got 'grpo')",
    ),
    ({"optimizer": "adamw_toch"}, "params.optimizer: no such name; did you mean 'adamw_torch'?"),
    ({"scheduler": "kosine"}, "did you mean 'cosine'?"),
    ({"chat_template": "chatmll"}, "params.chat_template: must be one of none, zephyr, chatml, tokenizer, or a path"),
    ({"loss_type": "sigmod"}, "params.loss_type: no such name; did you mean 'sigmoid'?"),
    ({"loss_type": "ipo, ipo"}, "params.loss_type: one or several of sigmoid, ipo, "),
    ({"loss_type": "sigmoid,ipo", "loss_weights": [1]}, "loss_weights has 1 numbers for 2 of loss_type"),
    ({"loss_weights": "much"}, "params.loss_weights: must be a number (got 'much')"),
    ({"label_smoothing": 0.5}, "params.label_smoothing: must be less than 0.5 (got 0.5)"),
    ({"trainer": "kto", "max_prompt_length": 900, "block_size": 512}, "max_prompt_length (900) must not be larger"),
    ({"log": "tensorbord"}, "params.log: no tracker 'tensorbord'"),
    ({"text_column": 7}, "params.text_column: must be text (got 7); put it in quotes"),
    ({"token": 12345}, "params.token: must be text; put it in quotes"),
    ({"block_size": 4096, "model_max_length": 2048}, "block_size (4096) must not be larger than model_max_length (2048)"),
]


@pytest.mark.parametrize(("params", "expected"), BAD_VALUES)
def test_a_bad_value_is_refused_under_the_name_that_the_user_wrote(tmp_path: Path, params: dict[str, Any], expected: str):
    message = refusal(tmp_path, MINIMAL | {"params": params})
    assert expected in message
    assert "12345" not in message


BAD_TOPS = [
    (MINIMAL | {"project_name": "my_run"}, "project_name: letters, digits and hyphens only"),
    (MINIMAL | {"project_name": 12}, "project_name: must be text (got 12); put it in quotes"),
    (MINIMAL | {"data": "rows.csv"}, "data: must be a mapping of keys to values; keys: column_mapping"),
    (MINIMAL | {"params": [1]}, "params: must be a mapping"),
    (MINIMAL | {"data": {"path": ["a"]}}, "data.path: must be text"),
    (MINIMAL | {"task": 3}, "task: must be text (got 3)"),
    (MINIMAL | {"task": "text-classification"}, "this project trains language models only; allowed: llm, "),
    (MINIMAL | {"task": "LLM"}, "did you mean 'llm'?"),
    (
        MINIMAL | {"backend": "locl"},
        "backend: no backend 'locl'; did you mean 'local'?; available: local, local-cli, local-ui",
    ),
    (MINIMAL | {"backend": "spaces-a10g-larg"}, "did you mean 'spaces-a10g-large'?"),
    (MINIMAL | {"base_model": "${NOPE}"}, "base_model: the variable NOPE isn't set"),
    (MINIMAL | {"base_model": "${{NOPE}}"}, "'${{NOPE}}' is no variable; write ${NAME} or ${NAME:-default}"),
    ({}, "a config is a mapping"),
]


@pytest.mark.parametrize(("values", "expected"), BAD_TOPS[:-1])
def test_faults_outside_params_are_named(tmp_path: Path, values: dict[str, Any], expected: str):
    assert expected in refusal(tmp_path, values)


@pytest.mark.parametrize("key", ["task", "base_model", "project_name", "data.path"])
def test_defect_17_each_required_key_is_asked_for(tmp_path: Path, key: str):
    values = {name: value for name, value in MINIMAL.items() if name != key.split(".")[0]}
    assert f"{key}: is missing; give " in refusal(tmp_path, values)


def test_a_fault_in_params_beside_others_has_the_line_of_params(tmp_path: Path):
    message = refusal(
        tmp_path, "task: llm\nbase_model: m\nproject_name: p\ndata: {path: d}\nparams:\n\n  project_name: a b\n"
    )
    assert message.startswith("c.yml:7: params.project_name: ")


def test_documented_keys_lists_the_grammar():
    keys = set(documented_keys())
    assert {"task", "base_model", "data.path", "data.column_mapping.text", "params.lr", "hub.token"} <= keys
