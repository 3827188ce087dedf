"""--dry-run shows what would happen, and does nothing."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FULL = """\
task: {task}
base_model: meta-org/some-model-8b
project_name: my-run-8b
log: tensorboard
backend: {backend}

data:
  path: some-org/some-pairs
  train_split: train
  valid_split: null
  chat_template: {template}
  column_mapping:
    text_column: chosen
    rejected_text_column: rejected
    prompt_text_column: prompt

params:
  block_size: 1024
  model_max_length: 8192
  max_prompt_length: 512
  epochs: 3
  batch_size: 2
  lr: 3e-5
  peft: true
  quantization: {quantization}
  target_modules: all-linear
  padding: right
  optimizer: {optimizer}
  scheduler: linear
  gradient_accumulation: 4
  mixed_precision: {precision}
  merge_adapter: true
  unsloth: true
  lora_dropout: 0

hub:
  username: ${{HF_USERNAME}}
  token: ${{HF_TOKEN}}
  push_to_hub: {push}
"""

SHAPES = [
    # task, backend, template, quantization, optimizer, precision, push: the combinations that published configs use
    ("llm-sft", "local", "null", "null", "adamw_torch", "fp16", "false"),
    ("llm-sft", "local", "tokenizer", "int4", "paged_adamw_8bit", "bf16", "true"),
    ("llm-dpo", "local", "chatml", "int4", "adamw_torch", "fp16", "false"),
    ("llm-orpo", "spaces-a10g-largex4", "chatml", "int4", "adamw_torch", "fp16", "true"),
    ("llm-orpo", "local", "chatml", "null", "paged_adamw_8bit", "bf16", "true"),
    ("llm-reward", "ep-aws-useast1-m", "zephyr", "int8", "adafactor", "null", "true"),
    ("llm-generic", "nvcf-h100x8", "none", "none", "adamw_8bit", "auto", "false"),
    ("llm", "dgx-8a100", "chatml", "int4", "lion_8bit", "bf16", "false"),
]


@pytest.mark.parametrize("shape", SHAPES, ids=[" ".join(shape[:3]) for shape in SHAPES])
def test_documented_configs_are_shown_without_a_token_or_a_network(autotrain, folder: Path, shape: tuple[str, ...]):
    names = ("task", "backend", "template", "quantization", "optimizer", "precision", "push")
    (folder / "full.yml").write_text(FULL.format(**dict(zip(names, shape, strict=True))))
    done = autotrain("--config", "full.yml", "--dry-run")
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)
    assert (shown["base_model"], shown["backend"]) == ("meta-org/some-model-8b", shape[1])
    assert (shown["params"]["lr"], shown["params"]["max_prompt_length"]) == (3e-5, 512)
    assert "# would " in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["c.yml", "full.yml"]


def test_what_it_shows_is_a_config_with_the_same_meaning(autotrain, folder: Path):
    chosen = {"template": "none", "quantization": "null", "optimizer": "sgd", "precision": "bf16", "push": "false"}
    (folder / "full.yml").write_text(FULL.format(task="llm-sft", backend="local", **chosen))
    first = autotrain("--config", "full.yml", "--dry-run").stdout
    (folder / "again.yml").write_text(first)
    second = autotrain("--config", "again.yml", "--dry-run").stdout
    assert second.split("\n", 1)[1] == first.split("\n", 1)[1]
    assert "chat_template: none" in first and "  quantization: null" in first


def test_defaults_are_told_from_what_was_set(autotrain):
    shown = autotrain("llm", "--train", "--lr", "3e-5", "--quantization", "none", "--no-add-eos-token", "--dry-run").stdout
    assert "\n  lr: 3.0e-05\n" in shown and "\n  quantization: null\n" in shown and "\n  add_eos_token: false\n" in shown
    assert "\n  # batch_size: 2\n" in shown and "\n# base_model: gpt2\n" in shown


def test_both_spellings_mean_the_same(autotrain):
    hyphens = autotrain("llm", "--train", "--batch-size", "3", "--block-size", "256,512", "--merge-adapter", "--dry-run")
    underscores = autotrain("llm", "--train", "--batch_size", "3", "--block_size", "256,512", "--merge_adapter", "--dry_run")
    assert hyphens.stdout == underscores.stdout and "\n  block_size: [256, 512]\n" in hyphens.stdout


MACHINES = ("--devices", "2", "--nodes", "3", "--node-rank", "1", "--master", "10.0.0.1:29500", "--max-restarts", "4")


@pytest.mark.parametrize("command", [("--config", "c.yml"), ("llm", "--train")], ids=["config", "llm"])
@pytest.mark.parametrize("hyphens", [True, False])
def test_devices_and_machines_are_options_everywhere(autotrain, command: tuple[str, ...], hyphens: bool):
    options = MACHINES if hyphens else tuple(word.replace("-", "_").replace("__", "--") for word in MACHINES)
    done = autotrain(*command, *options, "--dry-run")
    assert done.returncode == 0, done.stderr
    shown = yaml.safe_load(done.stdout)["params"]
    expected = {"devices": 2, "nodes": 3, "node_rank": 1, "master": "10.0.0.1:29500", "max_restarts": 4}
    assert {name: shown[name] for name in expected} == expected


def test_an_option_wins_over_the_config_and_can_take_a_value_back(autotrain, folder: Path):
    (folder / "c.yml").write_text((folder / "c.yml").read_text() + "params: {devices: 8, nodes: 2, epochs: 5}\n")
    shown = yaml.safe_load(autotrain("--config", "c.yml", "--devices", "none", "--nodes", "1", "--dry-run").stdout)["params"]
    assert (shown["devices"], shown["nodes"], shown["epochs"]) == (None, 1, 5)


def test_negative_numbers_are_values(autotrain):
    shown = autotrain("llm", "--train", "--block-size", "-1", "--logging-steps", "-1", "--dry-run").stdout
    assert "\n  block_size: -1\n" in shown and "\n  logging_steps: -1\n" in shown


@pytest.mark.parametrize("where", ["config", "variable", "option"])
def test_a_token_is_never_shown(autotrain, folder: Path, where: str):
    token = "my-very-secret-token"
    if where == "option":
        done = autotrain("llm", "--train", "--token", token, "--dry-run")
    else:
        written = token if where == "config" else "${HF_TOKEN}"
        (folder / "c.yml").write_text((folder / "c.yml").read_text() + f"hub:\n  token: {written}\n")
        done = autotrain("--config", "c.yml", "--dry-run", HF_TOKEN=token)
    assert done.returncode == 0
    assert token not in done.stdout + done.stderr and "given, and not shown" in done.stdout


def test_it_shows_the_command_and_the_notices(autotrain):
    done = autotrain("llm", "--train", "--trainer", "sft", "--lora-r", "8", "--resume", "--dry-run")
    assert "-m autotrain.trainers.clm train --training_config <temporary file> --resume" in done.stdout
    assert "note: lora_r has no effect without peft: true" in done.stderr


def test_it_says_what_would_be_refused(autotrain):
    shown = autotrain("llm", "--train", "--push-to-hub", "--backend", "dgx-a100", "--dry-run").stdout
    assert "# would be refused:" in shown and "#   dgx-a100" in shown


@pytest.mark.parametrize("config", sorted((ROOT / "examples").glob("**/*.yml")), ids=lambda path: path.name)
def test_every_example_of_this_repository_is_sound(autotrain, config: Path):
    done = autotrain("--config", str(config), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would be refused" not in done.stdout
