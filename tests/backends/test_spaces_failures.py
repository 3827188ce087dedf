"""Whatever fails while a Space is started, no Space runs that nobody knows of, and nobody else's Space is touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_double import HubDouble

from autotrain import log, runs
from autotrain.backends.base import Job
from autotrain.cloud import belongings
from autotrain.errors import HubError, UserError
from autotrain.project import submit
from autotrain.trainers.clm.params import LLMTrainingParams

pytestmark = pytest.mark.usefixtures("data_are_good")
TOKEN = "hf_nilsverysecrettoken"
SPACE, DATA = "nils/autotrain-run", "nils/autotrain-data-run"
ALWAYS = [
    ("POST", "/api/repos/create"),
    ("POST", f"/api/datasets/{DATA}/preupload"),
    ("POST", f"/api/datasets/{DATA}/commit"),
    ("POST", f"/api/spaces/{SPACE}/variables"),
    ("POST", f"/api/spaces/{SPACE}/preupload"),
    ("POST", f"/api/spaces/{SPACE}/commit"),
    ("GET", f"/api/spaces/{SPACE}"),
]
USED_AGAIN = [
    *ALWAYS[1:],
    ("POST", f"/api/spaces/{SPACE}/secrets"),
    ("DELETE", f"/api/spaces/{SPACE}/variables"),
    ("POST", f"/api/spaces/{SPACE}/hardware"),
    ("POST", f"/api/spaces/{SPACE}/restart"),
]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: HubDouble) -> Callable[..., Any]:
    """Starts a run with local data on a Space, and doesn't follow it."""
    folder = tmp_path / "here"
    (folder / "rows").mkdir(parents=True)
    (folder / "rows" / "train.jsonl").write_text('{"text": "a row of mine"}\n')
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AUTOTRAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.add_user("nils", token=TOKEN)
    hub.add_repo("model", "org/base", {"config.json": "{}", "model.safetensors": "x"})
    log.start_logging()
    params = LLMTrainingParams(model="org/base", project_name="run", data_path="rows", trainer="sft")
    return lambda backend="spaces-t4-small": submit(Job(params, detach=True), backend)


@pytest.fixture
def used(start: Callable[..., Any], hub: HubDouble) -> Callable[..., Any]:
    """The same, where a Space of an earlier run is at rest."""
    start()
    hub.spaces[SPACE].set_stage("PAUSED")
    for one in runs.list_runs():
        runs.forget(one.entry.id)
    return start


def check(hub: HubDouble, start: Callable[..., Any], backend: str) -> None:
    """Either it runs and is in the list, or it doesn't run and isn't."""
    try:
        start(backend)
    except HubError:
        assert SPACE not in hub.spaces or hub.spaces[SPACE].stage == "PAUSED"
        assert runs.list_runs() == []
    else:
        assert (hub.spaces[SPACE].stage, hub.spaces[SPACE].hardware) == ("BUILDING", backend.removeprefix("spaces-"))
        assert len(runs.list_runs()) == 1


@pytest.mark.parametrize("status", [500, 429, "lost"])
@pytest.mark.parametrize("call", ALWAYS, ids=" ".join)
def test_a_new_space_runs_or_is_gone(
    hub: HubDouble, hurried: list[float], start: Callable[..., Any], call: tuple[str, str], status: Any
):
    """`lost`: the hub did it, and its answer never came."""
    hub.fail(*call, status=status, times=None)
    check(hub, start, "spaces-t4-small")
    hub.failures.waiting.clear()
    if SPACE not in hub.spaces:
        start()  # what was left behind is no obstacle
        assert hub.spaces[SPACE].stage == "BUILDING"


@pytest.mark.parametrize("status", [500, "lost"])
@pytest.mark.parametrize("call", USED_AGAIN, ids=" ".join)
def test_an_old_space_runs_or_stays_paused(
    hub: HubDouble, hurried: list[float], used: Callable[..., Any], call: tuple[str, str], status: Any
):
    hub.fail(*call, status=status, times=None)
    check(hub, used, "spaces-a10g-small")


def test_ctrl_c_while_data_are_uploaded_leaves_no_space(
    hub: HubDouble, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(belongings, "upload_data", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start()
    assert SPACE not in hub.spaces and "is deleted again; nothing runs there" in capsys.readouterr().err


def test_a_space_that_cant_be_deleted_again_is_named_with_its_page(
    hub: HubDouble, start: Callable[..., Any], capsys: pytest.CaptureFixture[str]
):
    hub.fail("POST", f"/api/spaces/{SPACE}/commit", status=403, times=None)
    hub.fail("DELETE", "/api/repos/delete", status=403, times=None)
    with pytest.raises(HubError, match="uploading AutoTrain itself"):
        start()
    assert f"it may run and cost: look at {hub.url}/spaces/{SPACE}/settings" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["PAUSED", "RUNNING"])
def test_somebody_elses_work_of_that_name_is_left_alone(hub: HubDouble, start: Callable[..., Any], stage: str):
    hub.add_repo("space", SPACE, {"app.py": "my precious app"}, private=True)
    hub.spaces[SPACE].secrets["MY_KEY"] = "mine"
    hub.spaces[SPACE].set_stage(stage)
    with pytest.raises(HubError, match="wasn't made by this command"):
        start()
    space = hub.spaces[SPACE]
    assert (space.stage, space.secrets, space.files["app.py"]) == (stage, {"MY_KEY": "mine"}, b"my precious app")
    assert not hub.exists("dataset", DATA)


def test_a_public_space_of_that_name_is_refused(hub: HubDouble, used: Callable[..., Any]):
    hub.repositories["space", SPACE].private = False
    with pytest.raises(HubError, match="is public, so everyone could read its log"):
        used()
    assert hub.spaces[SPACE].stage == "PAUSED"


def test_the_hardware_that_was_asked_for_last_is_what_counts(hub: HubDouble, used: Callable[..., Any]):
    """A Space may still tell what it ran on, while another machine, a dearer one, is requested."""
    hub.spaces[SPACE].current_hardware, hub.spaces[SPACE].hardware = "t4-small", "a100-large"
    hub.spaces[SPACE].sleep_time = 99
    used("spaces-t4-small")
    assert (hub.spaces[SPACE].hardware, hub.spaces[SPACE].sleep_time) == ("t4-small", 604800)


def test_a_sleep_that_was_changed_is_set_again(hub: HubDouble, used: Callable[..., Any]):
    hub.spaces[SPACE].sleep_time = 300
    used()
    assert hub.spaces[SPACE].sleep_time == 604800


def test_an_account_that_cant_pay_is_told_where_to_pay(hub: HubDouble, start: Callable[..., Any]):
    hub.add_user("nils", token=TOKEN, can_pay=False)
    with pytest.raises(UserError, match="settings/billing"):
        start()
    assert SPACE not in hub.spaces and not hub.exists("dataset", DATA)
