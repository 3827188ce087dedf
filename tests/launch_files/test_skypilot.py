"""The task: keys that SkyPilot knows, files that are there, and commands that run on each machine."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from autotrain.config.load import load_config

GPUS = ("--accelerators", "H100:8")
# Of what SkyPilot's reference of task files lists, that which may be written here, and its types.
TASK = {"name": str, "num_nodes": int, "resources": dict, "file_mounts": dict, "secrets": dict, "setup": str, "run": str}
RESOURCES = {"accelerators": str, "infra": str, "use_spot": bool, "image_id": str, "cpus": str, "memory": str}

SHAPES = [
    ("c.yml", [*GPUS]),
    ("c.yml", [*GPUS, "--nodes", "4", "--devices", "4", "--cloud", "aws/us-east-1", "--setup", "nvidia-smi"]),
    ("hub.yml", ["--accelerators", "A10G", "--image", "org/autotrain:1"]),
    ("hub.yml", ["--no-gpus", "--cpus", "8", "--memory", "32"]),
    ("spot.yml", [*GPUS, "--spot"]),
]


def made(launch, folder: Path, *arguments: str, config: str = "c.yml") -> dict[str, Any]:
    (folder / "spot.yml").write_text(
        (folder / "hub.yml").read_text().replace("username", "push_checkpoints: true, username")
    )
    launch("--skypilot", "--config", config, *arguments)
    return yaml.safe_load((folder / "my-model.skypilot.yaml").read_text())


@pytest.mark.parametrize(("config", "arguments"), SHAPES, ids=[" ".join(arguments) for _, arguments in SHAPES])
def test_skypilot_knows_every_key(launch, folder: Path, config: str, arguments: list[str]):
    task = made(launch, folder, *arguments, config=config)
    assert set(task) <= set(TASK) and all(isinstance(value, TASK[key]) for key, value in task.items())
    resources = task["resources"]
    assert set(resources) <= set(RESOURCES) and all(isinstance(resources[key], RESOURCES[key]) for key in resources)


@pytest.mark.parametrize(("config", "arguments"), SHAPES, ids=[" ".join(arguments) for _, arguments in SHAPES])
def test_skypilot_itself_reads_it(launch, folder: Path, monkeypatch: pytest.MonkeyPatch, config: str, arguments: list[str]):
    sky = pytest.importorskip("sky", reason="skypilot isn't installed")
    made(launch, folder, *arguments, config=config)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    task = sky.Task.from_yaml("my-model.skypilot.yaml")
    assert task.num_nodes >= 1 and task.name == "my-model"


@pytest.mark.parametrize(("config", "arguments"), SHAPES, ids=[" ".join(arguments) for _, arguments in SHAPES])
def test_all_that_is_sent_along_is_there(launch, folder: Path, config: str, arguments: list[str]):
    task = made(launch, folder, *arguments, config=config)
    assert all(Path(here).is_absolute() and Path(here).exists() for here in task["file_mounts"].values())
    assert ("~/autotrain/rows" in task["file_mounts"]) is (config == "c.yml")
    sent = load_config(task["file_mounts"]["~/autotrain/config.yml"]).params
    assert sent.model == "some-org/base-8b" and sent.peft and sent.token is None
    package = task["file_mounts"].get("~/autotrain/package")
    assert (package is None) is ("--image" in arguments)
    if package:
        assert (Path(package) / "src/autotrain/cli/__init__.py").is_file() and ("./package[quant]" in task["setup"]) is (
            "--no-gpus" not in arguments
        )


@pytest.mark.parametrize("rank", ["0", "1"])
def test_each_machine_runs_the_command_with_its_number(launch, folder: Path, tmp_path: Path, rank: str, capsys):
    """As SkyPilot does it: the text in bash, in the user's home, with its variables; the command in turn is autotrain's."""
    from autotrain.cli import main

    task = made(launch, folder, *GPUS, "--nodes", "2", "--max-restarts", "1")
    home = tmp_path / "home"
    (home / "autotrain").mkdir(parents=True)
    program = tmp_path / "autotrain"
    program.write_text('#!/bin/bash\npwd > "$HOME/folder"; printf "%s\\n" "$@" > "$HOME/words"\nexit 7\n')
    program.chmod(0o755)
    told = {"SKYPILOT_NODE_RANK": rank, "SKYPILOT_NODE_IPS": "10.0.0.5\n10.0.0.6", "SKYPILOT_NUM_GPUS_PER_NODE": "8"}
    environment = os.environ | told | {"HOME": str(home), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", task["run"]], cwd=home, env=environment, check=False)
    assert done.returncode == 7 and (home / "folder").read_text().strip() == str(home / "autotrain")
    words = (home / "words").read_text().splitlines()
    words[words.index("--config") + 1] = task["file_mounts"]["~/autotrain/config.yml"]
    assert words[-1] == "--resume" and main([*words, "--dry-run"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)["params"]
    assert (shown["nodes"], shown["node_rank"], shown["devices"], shown["max_restarts"]) == (2, int(rank), 8, 1)
    assert shown["master"] == "10.0.0.5:29500"


@pytest.mark.parametrize(
    ("arguments", "asked", "devices"),
    [
        (["--accelerators", "H100:8"], "H100:8", "8"),
        (["--accelerators", "H100:8", "--devices", "4"], "H100:8", "4"),
        (["--accelerators", "A100-80GB", "--devices", "2"], "A100-80GB:2", "2"),
        (["--accelerators", "L4"], "L4:1", "1"),
    ],
)
def test_all_gpus_of_a_machine_are_used_unless_fewer_are_wanted(launch, folder, arguments, asked, devices):
    task = made(launch, folder, *arguments)
    assert task["resources"] == {"accelerators": asked} and f" --devices {devices} " in task["run"]


def test_the_token_is_asked_for_by_name_where_it_is_needed(launch, folder: Path):
    assert "secrets" not in made(launch, folder, *GPUS)
    assert made(launch, folder, *GPUS, "--overwrite", config="hub.yml")["secrets"] == {"HF_TOKEN": None}


def test_the_setup_installs_this_very_package(launch, folder: Path):
    setup = made(launch, folder, *GPUS, "--setup", "echo first")["setup"].splitlines()
    assert setup[:3] == ["cd ~/autotrain", "set -e", "echo first"] and setup[3].startswith("pip install ")
    assert subprocess.run(["bash", "-n", "-c", "\n".join(setup)], check=False).returncode == 0


def test_a_new_package_replaces_the_old_one(launch, folder: Path):
    made(launch, folder, *GPUS)
    (folder / "my-model-files" / "package" / "src" / "autotrain" / "gone.py").write_text("x = 1\n")
    made(launch, folder, *GPUS, "--overwrite")
    assert not (folder / "my-model-files" / "package" / "src" / "autotrain" / "gone.py").exists()


def test_it_says_what_to_type(launch, folder: Path):
    printed = launch("--skypilot", "--config", "hub.yml", *GPUS)
    for command in ("sky launch -c my-model my-model.skypilot.yaml --secret HF_TOKEN\n", "sky logs my-model\n", "sky down"):
        assert command in printed
