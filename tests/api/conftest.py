"""A machine in the cloud: its environment, a hub that it talks to, and a worker of a few lines in place of the real one."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hub_double import HubDouble

from autotrain.api import remote
from autotrain.api.watch import Watch
from autotrain.backends import local
from autotrain.cloud.environment import Handover, secrets_of, variables_of
from autotrain.cloud.report import End, read_end_line
from autotrain.params import LLMTrainingParams

TOKEN = "hf_SecretOfTheMachine"
SPACE = "jo/autotrain-run"

# What a worker leaves that trained something; `stage` as in state.json.
WRITES_A_RUN = """\
import json, os, pathlib, sys
def leave(stage, step=3, total_steps=4):
    folder = pathlib.Path("run")
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "gpt2"}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    state = {"stage": stage, "step": step, "total_steps": total_steps, "pid": os.getpid(), "heartbeat": 0.0}
    (folder / "state.json").write_text(json.dumps(state))
def say(reason):
    pathlib.Path(os.environ["AUTOTRAIN_REASON_FILE"]).write_text(reason)
"""


@dataclass
class Machine:
    """Runs what its environment says, in a folder of its own.  worker: a program; `leave` and `say` are at its hand."""

    hub: HubDouble
    folder: Path
    model: Path
    worker: str = "leave('finished')"
    environment: dict[str, str] = field(default_factory=dict)
    resume: bool = False
    data_revision: str = ""
    watch: Watch = field(default_factory=Watch)

    def run(self, **fields: Any) -> remote.Ended:
        (self.folder / "worker.py").write_text(f"{WRITES_A_RUN}\n{self.worker}\n")
        given = {"project_name": "run", "trainer": "sft", "model": str(self.model), "data_path": "jo/rows"} | fields
        params = LLMTrainingParams(**given, username="jo", push_to_hub=True)
        handover = Handover(params, "1a2b", self.resume, self.data_revision)
        environment = {**secrets_of(handover, TOKEN), **variables_of(handover), **self.environment}
        return remote.run_here(environment, self.watch)

    @property
    def stage(self) -> str:
        """Of the Space."""
        return self.hub.spaces[SPACE].stage

    @property
    def told(self) -> list[str]:
        """Titles and texts of the discussions on the Space."""
        return [f"{each.title}\n{each.text}" for each in self.hub.discussions("space", SPACE)]


@pytest.fixture
def machine(hub: HubDouble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    hub.add_user("jo", TOKEN)
    folder, model = tmp_path / "machine", tmp_path / "model"
    folder.mkdir()
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "llama"}))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)

    def command(entry: str, parameters_file: str, options: Any = ()) -> list[str]:
        return [sys.executable, str(folder / "worker.py"), parameters_file, *options]

    monkeypatch.setattr(local, "worker_command", command)
    monkeypatch.setattr(remote, "PUSH_AGAIN_SECONDS", (0.0, 0.0))
    return Machine(hub, folder, model)


@pytest.fixture
def on_space(machine: Machine) -> Machine:
    """The machine is a Space."""
    machine.hub.add_repo("space", SPACE, {"Dockerfile": "FROM python"}, private=True)
    machine.hub.spaces[SPACE].set_stage("RUNNING")
    machine.environment["SPACE_ID"] = SPACE
    return machine


@pytest.fixture
def last_line(capfd: pytest.CaptureFixture[str]) -> Callable[[], End | None]:
    """The end that the machine's log tells; nothing in it may hold the token."""

    def read() -> End | None:
        out, err = capfd.readouterr()
        assert TOKEN not in out + err
        return read_end_line(out.splitlines()[-1]) if out else None

    return read
