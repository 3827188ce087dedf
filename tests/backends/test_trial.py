"""Local data are tried by the real worker before anything is made, uploaded or billed in the cloud."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_double import HubDouble

from autotrain import log
from autotrain.backends import trial
from autotrain.backends.base import Job, Outcome
from autotrain.errors import UserError
from autotrain.project import submit
from autotrain.trainers.clm.params import LLMTrainingParams

TOKEN = "hf_SecretOfJo"


@pytest.fixture
def start(
    hub: HubDouble, tmp_path: Path, tiny_model: Path, chat_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Outcome]:
    """Starts a run on a machine in the cloud, with conversations in the folder `data` and a base model on the hub."""
    hub.add_user("jo", TOKEN)
    hub.add_repo("model", "jo/base", {file.name: file.read_bytes() for file in tiny_model.iterdir()}, private=True)
    monkeypatch.chdir(chat_folder.parent)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    log.start_logging()

    def run(backend: str = "spaces-t4-small", **fields: Any) -> Outcome:
        given = {"model": "jo/base", "data_path": chat_folder.name, "project_name": "run", "trainer": "sft"}
        return submit(Job(LLMTrainingParams(**given | fields), detach=True), backend)

    return run


def nothing_was_made(hub: HubDouble) -> bool:
    return {one.method for one in hub.requests} <= {"GET", "HEAD"} and not hub.spaces and not hub.jobs


@pytest.mark.parametrize("backend", ["spaces-t4-small", "jobs-t4-small"])
def test_a_column_that_isnt_there_costs_nothing(hub: HubDouble, start: Callable[..., Outcome], backend: str):
    with pytest.raises(UserError, match=r"no column 'mesages'.*did you mean 'messages'.*before anything was made"):
        start(backend, text_column="mesages")
    assert nothing_was_made(hub) and hub.places_with(TOKEN) == []


def test_a_row_that_cant_be_read_is_named_by_the_users_own_file(hub: HubDouble, start: Callable[..., Outcome]):
    file = Path("data/train.jsonl")
    file.write_text(file.read_text() + "{this is no JSON\n")
    with pytest.raises(UserError, match=r"data/train\.jsonl:25"):
        start()
    assert nothing_was_made(hub)


def test_a_validation_split_is_tried_too(hub: HubDouble, start: Callable[..., Outcome]):
    Path("data/valid.jsonl").write_text('{"words": "a"}\n')
    with pytest.raises(UserError, match=r"valid\.jsonl"):
        start(valid_split="valid")
    assert nothing_was_made(hub)


def test_good_data_go_on_their_way_and_leave_nothing_here(
    hub: HubDouble, start: Callable[..., Outcome], capfd: pytest.CaptureFixture[str]
):
    start()
    assert hub.spaces["jo/autotrain-run"].stage == "BUILDING"
    shown = capfd.readouterr()
    assert "reading the data here first" in shown.err and shown.out == ""
    assert sorted(path.name for path in Path().iterdir() if path.name not in ("hub", "huggingface", "home")) == ["data"]


def test_what_cant_be_tried_here_is_said_and_left_to_the_machine(
    hub: HubDouble,
    start: Callable[..., Outcome],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def never(*_: object) -> None:
        raise AssertionError("no worker is wanted")

    monkeypatch.setattr(trial, "worker_command", never)
    start(trust_remote_code=True, text_column="mesages")
    monkeypatch.setattr(trial, "MOST_BYTES", 10)
    start(project_name="other", text_column="mesages")
    said = capsys.readouterr().err
    assert "code of its own, which would run on this machine" in said and "would take long" in said
    hub.add_repo("dataset", "jo/rows", {"train.jsonl": "{}"})
    start(project_name="third", data_path="jo/rows")  # data that are there already aren't fetched
    assert len(hub.spaces) == 3


def test_a_trial_that_breaks_down_stands_in_nobodys_way(
    hub: HubDouble, start: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(trial, "worker_command", lambda *_: ["false"])
    start()
    assert "couldn't be tried here (exit code 1)" in capsys.readouterr().err
    assert hub.spaces["jo/autotrain-run"].stage == "BUILDING"
