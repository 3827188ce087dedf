"""Trackers get each value under its name, no secret, and after a resume the same run.  Their services are stand-ins."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autotrain.errors import ConfigError
from autotrain.params import LLMTrainingParams
from autotrain.run_folder import FAILED, FINISHED, INTERRUPTED
from autotrain.training.trackers import check_trackers, open_trackers


class Service(SimpleNamespace):
    """Notes what the clients of wandb, trackio and mlflow are told."""

    def __init__(self) -> None:
        super().__init__(told=[], id="run-7", info=SimpleNamespace(run_id="run-7"))

    def __getattr__(self, name: str) -> Any:
        def called(*arguments: Any, **named: Any) -> "Service":
            self.told.append((name, arguments, named))
            return self

        return called

    def calls(self, name: str) -> list[tuple[Any, Any]]:
        return [(arguments, named) for called, arguments, named in self.told if called == name]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    stand_in = Service()
    for name in ("wandb", "trackio", "mlflow"):
        monkeypatch.setitem(sys.modules, name, stand_in)
    return stand_in


def params(log: str) -> LLMTrainingParams:
    return LLMTrainingParams.model_validate({"log": log, "token": "hf_secretsecretsecret", "project_name": "mine"})


@pytest.mark.parametrize(
    ("name", "logs", "ends"),
    [("wandb", "log", "finish"), ("trackio", "log", "finish"), ("mlflow", "log_metrics", "end_run")],
)
def test_values_arrive_with_their_step_and_the_token_doesnt(
    service: Service, tmp_path: Path, name: str, logs: str, ends: str
):
    (tracker,) = open_trackers(params(name), tmp_path, 0)
    tracker.log(3, {"loss": 1.5})
    tracker.close(FINISHED)
    assert service.calls(logs) == [(({"loss": 1.5},), {"step": 3})]
    assert len(service.calls(ends)) == 1
    assert "secretsecret" not in repr(service.told)


@pytest.mark.parametrize(
    ("ending", "status", "code"), [(FINISHED, "FINISHED", 0), (INTERRUPTED, "KILLED", 0), (FAILED, "FAILED", 1)]
)
def test_services_hear_how_a_run_ended(service: Service, tmp_path: Path, ending: str, status: str, code: int):
    for tracker in open_trackers(params("mlflow,wandb"), tmp_path, 0):
        tracker.close(ending)
    assert service.calls("end_run") == [((status,), {})]
    assert service.calls("finish") == [((), {"exit_code": code})]


@pytest.mark.parametrize(("name", "begins", "key"), [("wandb", "init", "id"), ("mlflow", "start_run", "run_id")])
def test_a_resumed_run_goes_on_under_its_name_at_the_service(
    service: Service, tmp_path: Path, name: str, begins: str, key: str
):
    for first_step in (0, 10, 0):  # begun, resumed, begun anew
        open_trackers(params(name), tmp_path, first_step)
    assert [named[key] for _, named in service.calls(begins)] == [None, "run-7", None]
    assert len(service.calls("log_params")) == (2 if name == "mlflow" else 0)


def test_several_trackers_and_none(service: Service, tmp_path: Path):
    assert len(open_trackers(params("wandb, mlflow"), tmp_path, 0)) == 2
    assert open_trackers(params("none"), tmp_path, 0) == []


def test_a_tracker_that_isnt_installed_is_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("autotrain.training.trackers.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'autotrain-llm\[mlflow\]'"):
        check_trackers(params("mlflow"))
