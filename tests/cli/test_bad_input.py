"""Each mistake gets one clear message, exit code 2, and nothing is written."""

from pathlib import Path

import pytest

CONFIGS = {
    "unknown.yml": "task: llm-sft\nbase_model: gpt2\nproject_name: run\ndata: {path: d}\nparams:\n  learning_rate: 1\n",
    "typo.yml": "task: llm-sft\nbase_mdel: gpt2\nproject_name: run\ndata: {path: d}\n",
    "type.yml": "task: llm-sft\nbase_model: gpt2\nproject_name: run\ndata: {path: d}\nparams:\n  epochs: many\n",
    "value.yml": "task: llm-sft\nbase_model: gpt2\nproject_name: run\ndata: {path: d}\nparams:\n  quantization: int3\n",
    "lengths.yml": "task: llm-sft\nbase_model: gpt2\nproject_name: run\ndata: {path: d}\nparams:\n  block_size: 9999\n",
    "variable.yml": "task: llm-sft\nbase_model: ${BASE_MODEL_OF_MINE}\nproject_name: run\ndata: {path: d}\n",
    "syntax.yml": "task: llm-sft\nbase_model: [gpt2\n",
    "empty.yml": "",
    "list.yml": "- task\n",
    "twice.yml": "task: llm-sft\ntask: llm\n",
    "space.yml": "task: llm-sft\nbase_model: gpt2\nproject_name: run\nbackend: spaces-t4-small\ndata: {path: d}\n",
    "backend.yml": "task: llm-sft\nbase_model: gpt2\nproject_name: run\nbackend: cloud\ndata: {path: d}\n",
    "dpo.yml": "task: llm-reward\nbase_model: gpt2\nproject_name: run\ndata: {path: d}\n",
    "push.yml": "task: llm-sft\nbase_model: gpt2\nproject_name: run\ndata: {path: d}\n"
    "hub: {username: me, token: secret-token, push_to_hub: true}\n",
    "model.yml": "task: llm-sft\nbase_model: ./no-model\nproject_name: run\ndata: {path: d}\n",
}

CONFIG = "--config"
CASES: list[tuple[list[str], list[str]]] = [
    # what is typed, and what the answer contains: what, where, what is allowed, what to do
    ([CONFIG, "unknown.yml"], ["unknown.yml:6: params.learning_rate: unknown key", "'lr'", "keys of params: "]),
    (
        [CONFIG, "typo.yml"],
        ["typo.yml:2: base_mdel", "did you mean 'base_model'?", "base_model: is missing", "keys at the top level"],
    ),
    ([CONFIG, "type.yml"], ["type.yml:6: params.epochs: must be a whole number (got 'many')"]),
    ([CONFIG, "value.yml"], ["value.yml:6: params.quantization: must be one of int4, int8, none (got 'int3')"]),
    ([CONFIG, "lengths.yml"], ["lengths.yml: block_size (9999)", "model_max_length (2048)", "lower block_size or raise"]),
    (
        [CONFIG, "variable.yml"],
        ["variable.yml:2: base_model: the variable BASE_MODEL_OF_MINE isn't set", "export BASE_MODEL_OF_MINE="],
    ),
    ([CONFIG, "syntax.yml"], ["syntax.yml:3: not valid YAML"]),
    ([CONFIG, "empty.yml"], ["empty.yml: the file is empty", "task, base_model, project_name and data.path"]),
    ([CONFIG, "list.yml"], ["list.yml: a config is a mapping", "this is a list"]),
    ([CONFIG, "twice.yml"], ["twice.yml:2: the key 'task' is given twice (first in line 1); keep one"]),
    ([CONFIG, "space.yml"], ["training in the cloud needs a token with write access: set HF_TOKEN"]),
    (
        [CONFIG, "backend.yml"],
        [
            "backend.yml:4: backend: no backend 'cloud'",
            "available: local, local-cli, local-ui, ray, jobs-MACHINE, spaces-MACHINE",
        ],
    ),
    ([CONFIG, "push.yml"], ["the hub token: the hub at http://127.0.0.1:9 can't be reached"]),
    ([CONFIG, "model.yml"], ["base_model: no folder ./no-model"]),
    ([CONFIG, "missing.yml"], ["missing.yml: no such file", "c.yml"]),
    ([CONFIG, "c.txt"], ["a config file ends in .yml, .yaml, .json"]),
    ([CONFIG, "."], ["this is a folder"]),
    ([CONFIG], ["--config: expected one argument", "autotrain --help"]),
    (["--dry-run"], ["no config given", "--config FILE_OR_URL"]),
    ([CONFIG, "c.yml", "--resume", "--overwrite"], ["give one of them"]),
    ([CONFIG, "c.yml", "--devices", "two"], ["error: --devices: must be a whole number (got 'two')"]),
    ([CONFIG, "c.yml", "--devices", "0"], ["error: --devices: must be greater than 0 (got '0')"]),
    ([CONFIG, "c.yml", "--master", "here"], ["error: --master: HOST:PORT, such as 10.0.0.1:29500 (got 'here')"]),
    ([CONFIG, "c.yml", "--nodes", "2", "--node-rank", "2"], ["c.yml: node_rank (2) counts from 0, so of 2 nodes"]),
    ([CONFIG, "c.yml", "--max-restarts", "-1"], ["error: --max-restarts: must be greater than or equal to 0"]),
    ([CONFIG, "c.yml", "--hang-minutes", "5"], ["here it is called params.hang_minutes, in the config"]),
    ([CONFIG, "c.yml", "--dry"], ["unknown option --dry; did you mean --dry-run?"]),
    ([CONFIG, "c.yml", "--lr", "1"], ["unknown option --lr; here it is called params.lr, in the config"]),
    ([CONFIG, "c.yml", "more"], ["unexpected argument 'more'"]),
    (["c.yml"], ["to train as a config says: autotrain --config c.yml"]),
    (["chats"], ["unknown command; did you mean autotrain chat?", "commands: llm, "]),
    (["llm-sft"], ["that is a task, not a command"]),
    (["setup"], ["autotrain setup: ", "make setup"]),
    (["spacerunner"], ["autotrain spacerunner: ", "hf jobs run"]),
    (["app", "--port", "x"], ["--port: must be a number between 0 and 65535"]),
    (["app", "--share"], ["autotrain app --share: not kept", "ssh -L"]),
    (["app", "--colab"], ["autotrain app --colab: not kept", "AutoTrainProject"]),
    (["api", "--port", "many"], ["--port: must be a number between 0 and 65535 (got 'many')"]),
    (["text-classification", "--train"], ["this project trains language models only"]),
    (["vlm"], ["this project trains language models only"]),
    (["llm"], ["autotrain llm: nothing to do; add --train"]),
    (["llm", "--lr", "1"], ["add --train"]),
    (["llm", "--deploy"], ["--deploy", "autotrain chat RUN_OR_MODEL", "autotrain generate"]),
    (["llm", "--inference"], ["--inference", "autotrain chat RUN_OR_MODEL"]),
    (["llm", "--train", "--learning_rate", "1"], ["unknown option --learning_rate; here it is called --lr"]),
    (["llm", "--train", "--num-train-epochs=3"], ["unknown option --num-train-epochs; here it is called --epochs"]),
    (["llm", "--train", "--use-peft"], ["here it is called --peft"]),
    (["llm", "--train", "--use_int4"], ["here it is called --quantization int4"]),
    (["llm", "--train", "--epoch", "3"], ["unknown option --epoch; did you mean --epochs?"]),
    (["llm", "--train", "--peft", "true"], ["--peft takes no value ('true'); write --peft, or --no-peft to turn it off"]),
    (["llm", "--train", "--lr", "fast"], ["autotrain llm: --lr: must be a number (got 'fast')"]),
    (["llm", "--train", "--lr"], ["--lr: expected one argument"]),
    (["llm", "--train", "--project_name", "a_b"], ["--project-name: letters, digits and hyphens only"]),
    (["llm", "--train", "--backend", "locale"], ["--backend: no backend 'locale'; did you mean 'local'?"]),
    (["llm", "--train", "--trainer", "rward"], ["--trainer: must be one of default, sft, reward", "did you mean 'reward'?"]),
    (["inspect", "--config", "c.yml", "--rows", "all"], ["--rows: must be a number of rows", "got 'all'"]),
    (["inspect"], ["--config"]),
]


@pytest.mark.parametrize(("typed", "expected"), CASES, ids=[" ".join(typed) for typed, _ in CASES])
def test_a_mistake_gets_one_clear_message(autotrain, folder: Path, tmp_path: Path, typed: list[str], expected: list[str]):
    for argument in typed:
        if argument in CONFIGS:
            (folder / argument).write_text(CONFIGS[argument])
    before = sorted(folder.rglob("*"))
    done = autotrain(*typed)
    assert done.returncode == 2, done.stderr
    for part in expected:
        assert part in done.stderr
    assert done.stderr.startswith("error: ") and done.stdout == ""
    assert "Traceback" not in done.stderr and "secret-token" not in done.stderr
    assert sorted(folder.rglob("*")) == before and not (tmp_path / "home").exists()


def test_a_trainer_without_an_objective_is_refused_to_run_and_shown_dry(autotrain, monkeypatch: pytest.MonkeyPatch):
    from autotrain.config.names import unavailable_trainer

    for trainer in ("reward", "dpo", "orpo"):
        typed = ("llm", "--train", "--trainer", trainer)
        assert f"task: llm-{trainer}" in autotrain(*typed, "--dry-run").stdout
        if unavailable_trainer(trainer):
            done = autotrain(*typed)
            assert done.returncode == 2 and f"the trainer {trainer} is not available in this version" in done.stderr


def test_a_folder_with_strangers_files_is_refused(autotrain, folder: Path):
    (folder / "run").mkdir()
    (folder / "run" / "thesis.txt").write_text("mine")
    done = autotrain("--config", "c.yml", "--overwrite")
    assert done.returncode == 2 and "thesis.txt" in done.stderr
    assert (folder / "run" / "thesis.txt").read_text() == "mine"


def test_a_folder_with_a_run_is_refused_naming_both_ways_on(autotrain, folder: Path):
    (folder / "run").mkdir()
    (folder / "run" / "state.json").write_text("{}")
    done = autotrain("--config", "c.yml")
    assert done.returncode == 2 and "--resume" in done.stderr and "--overwrite" in done.stderr
