"""Parameters written as a config and as a command come back as they were."""

import shlex
from typing import Any

import pytest
import yaml

from autotrain.cli import llm
from autotrain.cli.parser import Parser
from autotrain.config.document import Document, parse_document
from autotrain.config.load import interpret, read_config
from autotrain.config.written import command_text, config_text
from autotrain.trainers.clm.params import LLMTrainingParams

CASES: list[dict[str, Any]] = [
    {},
    {"trainer": "sft", "peft": True, "lora_r": 4, "lr": 3e-5, "epochs": 3},
    {"trainer": "dpo", "loss_type": ["sigmoid", "ipo"], "loss_weights": [0.8, 0.2], "prompt_text_column": "ask"},
    {"chat_template": None, "quantization": None, "mixed_precision": None, "padding": None},
    {"block_size": [128, 256], "add_eos_token": False, "merge_adapter": False, "log": "tensorboard,wandb"},
    {"target_modules": "q_proj,k_proj", "fast_paths": "none", "valid_split": "valid", "max_hours": 0.5},
    {
        "trainer": "orpo",
        "rejected_text_column": "worse",
        "text_column": "better: one",
        "push_to_hub": True,
        "username": "me",
    },
    {"data_path": "name with 'quotes' and $dollar", "project_name": "a-1", "model": "/some folder/model", "seed": 0},
]


def params_of(case: dict[str, Any]) -> LLMTrainingParams:
    return LLMTrainingParams(**{"model": "acme/tiny", "project_name": "run", "data_path": "data", **case})


@pytest.mark.parametrize("case", CASES, ids=lambda case: ",".join(case) or "defaults")
def test_a_config_gives_the_same_parameters(case: dict[str, Any]):
    params = params_of(case)
    text = config_text(params, "local-ui")
    config = interpret(parse_document(text, "config"), dry_run=False, environment={})
    assert config.params == params and config.backend == "local"
    assert "lora_alpha" not in text  # nothing that wasn't set


@pytest.mark.parametrize("case", CASES, ids=lambda case: ",".join(case) or "defaults")
def test_a_command_gives_the_same_parameters(case: dict[str, Any]):
    params = params_of(case)
    program, command, *options = shlex.split(command_text(params, "spaces-t4-small"))
    parser = Parser(prog="autotrain llm")
    llm.add_arguments(parser)
    args = parser.parse_args(options)
    given = {name: getattr(args, name) for name in LLMTrainingParams.model_fields if hasattr(args, name)}
    assert (program, command, args.train, args.backend) == ("autotrain", "llm", True, "spaces-t4-small")
    assert LLMTrainingParams(**given) == params


def test_a_token_is_in_neither():
    params = params_of({"token": "hf_mytokenmytoken"})
    assert "hf_my" not in config_text(params, "local") and "hf_my" not in command_text(params, "local")


def test_a_config_reads_like_one_that_a_person_wrote():
    text = config_text(params_of({"trainer": "sft", "text_column": "messages", "lr": 1e-3}), "local")
    assert text.splitlines()[:5] == [
        "task: llm-sft",
        "base_model: acme/tiny",
        "project_name: run",
        "backend: local",
        "data:",
    ]
    assert yaml.safe_load(text)["data"] == {"path": "data", "column_mapping": {"text_column": "messages"}}


def test_faults_are_told_one_by_one_with_their_keys_and_lines():
    document = parse_document("task: llm-sft\nbase_model: x\nproject_name: a b\ndata: {path: d}\nparams: {epoch: 1}\n", "c")
    config, faults = read_config(document, dry_run=False, environment={})
    assert config is None
    assert [(fault.key, fault.line) for fault in faults] == [("params.epoch", 5), ("project_name", 3)]
    assert read_config(Document("c", {}), dry_run=False, environment={})[1][0].key == "task"
