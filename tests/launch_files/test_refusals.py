"""What can't work is refused with one clear message before anything is written."""

from pathlib import Path

import pytest
from pytest import param

SLURM, KUBERNETES, SKYPILOT = ("--slurm",), ("--kubernetes", "--image", "i"), ("--skypilot", "--accelerators", "H100:8")
CONFIGS = {
    "bad.yml": "task: llm-sft\nbase_model: b\nproject_name: p\ndata: {path: d}\nparams: {epochs: many}\n",
    "cloud.yml": "task: llm-sft\nbase_model: b\nproject_name: p\nbackend: spaces-t4-small\ndata: {path: d}\n",
    "rank.yml": "task: llm-sft\nbase_model: b\nproject_name: p\ndata: {path: d}\nparams: {nodes: 2, node_rank: 0}\n",
    "away.yml": "task: llm-sft\nbase_model: b\nproject_name: p\ndata: {path: /data/rows.jsonl}\n",
    "up.yml": "task: llm-sft\nbase_model: b\nproject_name: p\ndata: {path: ../rows}\n",
    "model.yml": "task: llm-sft\nbase_model: /models/b\nproject_name: p\ndata: {path: o/d}\nhub: {push_to_hub: true}\n",
    "zh.yml": "task: llm-sft\nbase_model: b\nproject_name: 模型\ndata: {path: o/d}\nhub: {push_to_hub: true}\n",
}
CASES = [
    (["--config", "c.yml"], "for what? --slurm, --kubernetes or --skypilot"),
    (["--slurm"], "no config given; add --config"),
    (["--slurm", "--skypilot", "--config", "c.yml"], "not allowed with argument --slurm"),
    ([*SLURM, "--config", "bad.yml"], "bad.yml:5: params.epochs: must be a whole number (got 'many')"),
    ([*SLURM, "--config", "cloud.yml"], "backend: spaces-t4-small starts the run elsewhere"),
    ([*SLURM, "--config", "rank.yml"], "node_rank: is given by the scheduler"),
    ([*SLURM, "--config", "c.yml", "--nodes", "0"], "--nodes: must be greater than 0"),
    ([*SLURM, "--config", "c.yml", "--time", "soon"], "--time: minutes, hours:minutes:seconds"),
    ([*SLURM, "--config", "c.yml", "--time", "00:05:00"], "--time: at least 10 minutes"),
    ([*SLURM, "--config", "c.yml", "--partition", "a b"], "--partition: a name of letters"),
    ([*SLURM, "--config", "c.yml", "--image", "i"], "--image is for --kubernetes and --skypilot, not for --slurm"),
    ([*SLURM, "--config", "c.yml", "--setup", "a\nrm b"], "--setup: one line of shell"),
    ([*SLURM, "--config", "c.yml", "--port", "80"], "--port: must be greater than or equal to 1024"),
    (["--kubernetes", "--config", "hub.yml"], "--image is needed"),
    ([*KUBERNETES, "--config", "hub.yml", "--time", "60"], "--time is for --slurm, not for --kubernetes"),
    ([*KUBERNETES, "--config", "c.yml"], "name a volume with --storage CLAIM, or upload the result"),
    ([*KUBERNETES, "--config", "model.yml"], "base_model: /models/b lies on this machine, where no pod can read it"),
    ([*KUBERNETES, "--config", "away.yml", "--storage", "s"], "data.path: /data/rows.jsonl is nowhere in a pod"),
    ([*KUBERNETES, "--config", "up.yml", "--storage", "s"], "data.path: ../rows is nowhere in a pod"),
    ([*KUBERNETES, "--config", "hub.yml", "--storage-size", "9"], "--storage-size has no effect without --storage"),
    ([*KUBERNETES, "--config", "hub.yml", "--storage", "s", "--storage-path", "x"], "--storage-path: an absolute path"),
    ([*KUBERNETES, "--config", "zh.yml"], "project_name: 模型 can't be a name in Kubernetes"),
    (["--skypilot", "--config", "c.yml"], "--accelerators is needed"),
    (["--skypilot", "--config", "c.yml", "--accelerators", "8xH100"], "--accelerators: a GPU and how many"),
    ([*SKYPILOT, "--config", "c.yml", "--devices", "9"], "H100:8 are 8 a machine, and devices says 9"),
    ([*SKYPILOT, "--config", "c.yml", "--no-gpus"], "--no-gpus for none; give one of them"),
    ([*SKYPILOT, "--config", "hub.yml", "--spot"], "set hub.push_checkpoints: true"),
    ([*SKYPILOT, "--config", "away.yml"], "data.path: no file or folder /data/rows.jsonl here"),
    ([*SKYPILOT, "--config", "c.yml", "--output", "c.yml/x"], "can't be written: "),
]


@pytest.mark.parametrize(("typed", "said"), [param(*case, id=" ".join(case[0])[:90]) for case in CASES])
def test_a_mistake_gets_one_clear_message_and_no_file(launch, folder: Path, typed: list[str], said: str):
    for name, text in CONFIGS.items():
        (folder / name).write_text(text)
    before = sorted(folder.rglob("*"))
    error = launch(*typed, code=2)
    assert said in error and error.startswith("error: ")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("target", [SLURM, KUBERNETES, SKYPILOT], ids=lambda target: target[0])
def test_a_file_is_replaced_only_when_that_is_said(launch, folder: Path, target: tuple[str, ...]):
    launch(*target, "--config", "hub.yml", "--output", "job")
    assert "--overwrite" in launch(*target, "--config", "hub.yml", "--output", "job", code=2)
    launch(*target, "--config", "hub.yml", "--output", "job", "--nodes", "3", "--overwrite")
    assert "3" in (folder / "job").read_text()


@pytest.mark.parametrize("target", [SLURM, KUBERNETES, SKYPILOT], ids=lambda target: target[0])
@pytest.mark.parametrize("written", ["hf_abcdefghijklmnopqrstuvwxyz012345", "${HF_TOKEN}"])
def test_no_token_lands_in_a_file(
    launch, folder: Path, monkeypatch: pytest.MonkeyPatch, target: tuple[str, ...], written: str
):
    secret = "hf_abcdefghijklmnopqrstuvwxyz012345"
    monkeypatch.setenv("HF_TOKEN", secret)
    config = (folder / "hub.yml").read_text().replace("username", f"token: '{written}', username")
    (folder / "token.yml").write_text(config)
    printed = launch(*target, "--config", "token.yml")
    assert secret not in printed
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "token.yml"]
    assert files and not [path for path in files if secret.encode() in path.read_bytes()]
    if target is not SLURM:  # there the user's own environment goes along
        assert "HF_TOKEN" in "".join(path.read_text() for path in folder.iterdir() if path.suffix == ".yaml") + printed
