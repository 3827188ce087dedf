"""A run in the cloud, whole: what a Space or Job is given runs here, in a clean folder and a Python without this package.

The hub is the double; the client, the package's installation, the start command, the training and the push are real.
"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from hub_double import HubDouble
from ports import free_port

from autotrain.backends.base import Job
from autotrain.cloud.report import FINISHED, STOPPED, End, discussion_title, read_end_line
from autotrain.params import LLMTrainingParams
from autotrain.project import submit

pytestmark = pytest.mark.timeout(2000)  # each of its waits has a limit of its own
TOKEN = "hf_SecretOfJo"
SPACE, MODEL = "jo/autotrain-my-run", "jo/my-run"
LIMIT_SECONDS = 400


@pytest.fixture
def home(
    hub: HubDouble, tmp_path: Path, tiny_model: Path, chat_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Job]:
    """Where the user stands, signed in as `jo`, with data in a folder and a base model on the hub; makes jobs."""
    hub.add_user("jo", TOKEN)
    hub.add_repo("model", "jo/base", {file.name: file.read_bytes() for file in tiny_model.iterdir()})
    monkeypatch.chdir(chat_folder.parent)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))

    def job(resume: bool = False, **fields: Any) -> Job:
        given = {
            "model": "jo/base",
            "data_path": chat_folder.name,
            "valid_split": "valid",
            "project_name": "my-run",
            "trainer": "sft",
            "peft": True,
            "lr": 1e-3,
            "batch_size": 4,
            "gradient_accumulation": 1,
            "logging_steps": 1,
            "epochs": 2,
        }
        return Job(LLMTrainingParams(**given | fields), resume=resume, detach=True)

    return job


@pytest.fixture
def machine_python(tmp_path: Path) -> Path:
    """The folder of a Python's commands: it finds the libraries that are installed here, and not this package."""
    environment = tmp_path / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    commands = environment / "bin"
    pip = commands / "pip"
    pip.write_text(f"#!{commands}/python\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n")
    pip.chmod(0o755)
    return commands


class Machine:
    """A machine of the cloud: a clean folder, and an environment with nothing of this one but the libraries."""

    def __init__(self, folder: Path, commands: Path, given: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "tmp").mkdir()
        self.environment = {
            "PATH": f"{commands}:/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "OMP_NUM_THREADS": "1",
            "HF_HUB_DISABLE_XET": "1",
            # No network: what is installed here already is enough, the build of the package included.
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as "no isolation"
            **given,
        }
        self.log = folder / "log.txt"

    def start(self, command: list[str], folder: Path | None = None) -> "subprocess.Popen[bytes]":
        with self.log.open("wb") as output:
            return subprocess.Popen(
                command, cwd=folder or self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    def run(self, command: list[str]) -> End:
        """Run to its end; what its last line tells."""
        code = self.start(command).wait(LIMIT_SECONDS)
        said = self.log.read_text(encoding="utf-8")
        end = read_end_line(said.splitlines()[-1])
        assert end is not None, said
        assert end.exit_code == code, said
        return end

    def holds(self, secret: str) -> list[str]:
        """Files of the machine, its log among them, with `secret` in them."""
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        return [str(file.relative_to(self.folder)) for file in files if secret.encode() in file.read_bytes()]


def the_pushed_adapter_loads(hub: HubDouble, tiny_model: Path, folder: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    pushed = hub.checkout("model", MODEL, folder)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), str(pushed))
    ids = AutoTokenizer.from_pretrained(pushed)("Say red 1 times.", return_tensors="pt")["input_ids"]
    assert torch.isfinite(model(ids).logits).all()


def no_secret_got_anywhere(hub: HubDouble, machine: Machine) -> None:
    """Into no file of the machine and nothing on the hub but the secrets of Spaces and Jobs, which requests bring there."""
    assert machine.holds(TOKEN) == []
    places = hub.places_with(TOKEN)
    assert [place for place in places if not re.match(r"POST /api/(repos/create|jobs/jo|spaces/.*/secrets)$", place)] == []


def wait_for_status(port: int, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """The first status of the training that has a loss."""
    status: dict[str, Any] = {}
    end = time.monotonic() + LIMIT_SECONDS
    while not status.get("loss"):
        assert process.poll() is None and time.monotonic() < end, f"no loss in {status}"
        time.sleep(0.1)
        with suppress(URLError, OSError), urlopen(f"http://127.0.0.1:{port}/status", timeout=5) as answer:
            status = json.loads(answer.read())
    return status


def test_a_space_trains_pushes_and_pauses_by_the_start_command_of_its_image(
    home: Callable[..., Job], hub: HubDouble, machine_python: Path, tiny_model: Path, tmp_path: Path
):
    submit(home(epochs=20), "spaces-cpu-upgrade")
    space = hub.spaces[SPACE]
    space.set_stage("RUNNING")
    machine = Machine(tmp_path / "machine", machine_python, space.environment())
    image = hub.checkout("space", SPACE, machine.folder / "app")
    dockerfile = (image / "Dockerfile").read_text()
    for install in re.findall(r"^RUN (pip install .*)$", dockerfile, re.MULTILINE):
        subprocess.run(install, shell=True, cwd=image, env=machine.environment, check=True)
    (command,) = re.findall(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    port = free_port()
    held = hub.fail("POST", f"{MODEL}/commit/main", status="slow", seconds=300)  # a machine that has ended tells no status
    process = machine.start([str(port) if part == "7860" else part for part in json.loads(command)], image)
    try:
        status = wait_for_status(port, process)
    finally:
        held.over.set()
    assert process.wait(LIMIT_SECONDS) == 0, machine.log.read_text()
    assert status["loss"] > 0 and status["total_steps"] == 120  # 24 rows / 4 * 20 epochs
    assert read_end_line(machine.log.read_text().splitlines()[-1]) == End(FINISHED, 0, url=f"{hub.url}/{MODEL}")
    assert space.stage == "PAUSED"
    (told,) = space.discussions
    assert told.title == discussion_title(End(FINISHED, 0), space.variables["AUTOTRAIN_RUN"])
    the_pushed_adapter_loads(hub, tiny_model, tmp_path / "pulled")
    no_secret_got_anywhere(hub, machine)


def test_a_job_with_a_base_model_of_this_machine_stops_at_max_hours_and_another_goes_on_from_its_checkpoint(
    home: Callable[..., Job], hub: HubDouble, machine_python: Path, tiny_model: Path, tmp_path: Path
):
    local_base = {"model": str(tiny_model)}
    submit(home(max_hours=1e-6, **local_base), "jobs-cpu-basic")
    (first,) = hub.jobs.values()
    machine = Machine(tmp_path / "first", machine_python, first.process_environment())
    end = machine.run(first.command)
    assert (end.stage, end.exit_code, end.url) == (STOPPED, 0, f"{hub.url}/{MODEL}")
    assert "after step 1 of 12" in end.reason
    no_secret_got_anywhere(hub, machine)

    first.set_stage("COMPLETED")
    submit(home(max_hours=1.0, resume=True, **local_base), "jobs-cpu-basic")
    second = next(job for job in hub.jobs.values() if job is not first)
    machine = Machine(tmp_path / "second", machine_python, second.process_environment())
    assert machine.run(second.command) == End(FINISHED, 0, url=f"{hub.url}/{MODEL}")
    rows = [json.loads(line) for line in hub.files("model", MODEL)["metrics.jsonl"].splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, 13))
    adapter = json.loads(hub.files("model", MODEL)["adapter_config.json"])
    assert adapter["base_model_name_or_path"] == "jo/autotrain-base-my-run"
    assert "step 2/12" in machine.log.read_text() and "step 1/12" not in machine.log.read_text()
    the_pushed_adapter_loads(hub, tiny_model, tmp_path / "pulled")
    no_secret_got_anywhere(hub, machine)


def test_a_job_that_cant_train_says_why(home: Callable[..., Job], hub: HubDouble, machine_python: Path, tmp_path: Path):
    hub.add_repo("dataset", "jo/rows", {"train.jsonl": Path("data/train.jsonl").read_bytes()})
    submit(home(data_path="jo/rows", valid_split=None, text_column="mesages"), "jobs-cpu-basic")  # local data are tried here
    (job,) = hub.jobs.values()
    machine = Machine(tmp_path / "machine", machine_python, job.process_environment())
    end = machine.run(job.command)
    assert end.exit_code == 2 and "no column 'mesages'" in end.reason and "did you mean 'messages'" in end.reason
    assert os.path.relpath(machine.folder, tmp_path) not in end.reason
