"""backend: ray, as far as it goes without Ray: what would be run, and what is refused."""

import shlex
from pathlib import Path

import pytest

from autotrain.backends.base import Job, find_backend
from autotrain.errors import ConfigError
from autotrain.params import LLMTrainingParams


def params(**values: object) -> LLMTrainingParams:
    return LLMTrainingParams(**{"model": "m", "project_name": "run", "data_path": "data", **values})


def plan(**values: object) -> str:
    return find_backend("ray").plan(Job(params(**values), resume=True)).text


def test_the_driver_is_a_worker_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    command, where = plan(devices=4, ray_resources="CPU=2, GPU=1", max_restarts=3).splitlines()
    words = shlex.split(command)
    assert words[words.index("-m") + 1 :][:3] == ["autotrain.trainers.clm", "ray", "train"]
    assert words[-1] == "--resume"
    assert where.startswith("on the Ray cluster: one started on this machine; 4 workers, each with CPU=2,GPU=1;")
    assert where.endswith("after a failure up to 3 new starts")


def test_the_address_is_the_configs_else_that_of_the_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert "cluster: auto;" in plan()
    assert "cluster: ray://head:10001;" in plan(ray_address="ray://head:10001")


@pytest.mark.parametrize(("name", "value"), [("nodes", 2), ("node_rank", 0), ("master", "10.0.0.1:29500")])
def test_machines_are_rays_choice(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{name}: with backend ray, Ray chooses the machines"):
        plan(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ray_address", "head", "ray://10.0.0.1:10001"),
        ("ray_resources", "CPU", "CPU=4,GPU=1"),
        ("ray_resources", "CPU=four", "CPU=4,GPU=1"),
        ("ray_storage", "runs", "from /"),
    ],
)
def test_what_is_meant_is_said(name: str, value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        params(**{name: value})


def test_resources_go_by_rays_names() -> None:
    assert params(ray_resources="CPU = 4 ,accelerator_type:A100=0.01").resources_of_worker == {
        "CPU": 4.0,
        "accelerator_type:A100": 0.01,
    }
    assert params().resources_of_worker == {}


def test_without_ray_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder `ray` that can't be imported stands for a machine without it."""
    from autotrain.project import submit

    (tmp_path / "hidden" / "ray").mkdir(parents=True)
    (tmp_path / "hidden" / "ray" / "__init__.py").write_text("raise ImportError('not here')")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"), prepend=":")
    outcome = submit(Job(params(model="model")), "ray")
    assert outcome.exit_code == 2
    assert outcome.reason == "backend: ray needs Ray: pip install 'autotrain-llm[ray]' (not here)"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "value"), [("ray_address", "ray://elsewhere:10001"), ("ray_storage", "/etc")])
def test_the_page_takes_no_cluster_from_the_network(name: str, value: str, tmp_path: Path) -> None:
    from autotrain.app.inside import check_inside
    from autotrain.app.workspace import Workspace

    with pytest.raises(ConfigError, match=f"{name}: can't be said here"):
        check_inside(params(model="smollm2-135m", **{name: value}), Workspace(tmp_path))
