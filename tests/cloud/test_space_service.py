"""Spaces seen from here: each stage of the hub in our words, logs that end, and what a discussion tells."""

import threading

import pytest
from hub_double import HubDouble

from autotrain import log
from autotrain.cloud.environment import RUN
from autotrain.cloud.report import FAILED, FINISHED, End, discussion_text, discussion_title, end_line
from autotrain.cloud.service import Service, open_service
from autotrain.cloud.space_service import SpaceService
from autotrain.errors import HubError
from autotrain.hub.client import open_api

SPACE = "nils/autotrain-run"


@pytest.fixture
def space(hub: HubDouble):
    hub.add_user("nils")
    hub.add_repo("space", SPACE, private=True)
    hub.spaces[SPACE].variables[RUN] = "0a1b"
    return hub.spaces[SPACE]


@pytest.fixture
def service(space) -> Service:
    return SpaceService(open_api("hf_nils"), poll_seconds=0.1)


@pytest.mark.parametrize(
    ("stage", "ours", "detail"),
    [
        ("NO_APP_FILE", "starting", "no app file"),
        ("BUILDING", "starting", "building"),
        ("APP_STARTING", "starting", "app starting"),
        ("RUNNING", "running", ""),
        ("RUNNING_BUILDING", "starting", "running building"),
        ("BUILD_ERROR", "failed", "its image couldn't be built"),
        ("CONFIG_ERROR", "failed", "its configuration is wrong"),
        ("RUNTIME_ERROR", "failed", "its program ended with an error"),
        ("PAUSED", "stopped", "the Space is paused"),
        ("STOPPED", "stopped", "the Space is stopped"),
        ("SLEEPING", "stopped", "the Space is sleeping"),
        ("DELETING", "gone", "is being deleted"),
    ],
)
def test_each_stage_has_a_word(space, service: Service, stage: str, ours: str, detail: str):
    space.set_stage(stage)
    state = service.state(SPACE)
    assert state.stage == ours and detail in state.detail and state.url.endswith(f"/spaces/{SPACE}")


def test_what_broke_is_said_without_secrets(space, service: Service):
    log.hide_secret("very-secret-value")
    space.set_stage("BUILD_ERROR", "pip failed with very-secret-value")
    assert service.state(SPACE).detail == "its image couldn't be built: pip failed with ****"


def test_a_space_that_isnt_there_is_gone(hub: HubDouble, service: Service):
    assert service.state("nils/autotrain-other").stage == "gone"


def test_a_token_that_the_hub_doesnt_know_is_no_missing_space(hub: HubDouble, space):
    with pytest.raises(HubError, match="hf auth login"):
        SpaceService(open_api("hf_wrong"), poll_seconds=0.1).state(SPACE)


@pytest.mark.parametrize("end", [End(FINISHED, 0), End(FAILED, 2, "no column 'prompt'")])
def test_a_paused_space_tells_by_its_discussion(space, service: Service, end: End):
    api = open_api("hf_nils")
    for run, told in (("9999", End(FAILED, 1, "an earlier run")), ("0a1b", end)):
        api.create_discussion(
            SPACE, discussion_title(told, run), description=discussion_text(told, "run"), repo_type="space"
        )
    space.set_stage("PAUSED")
    assert (service.state(SPACE).stage, service.state(SPACE).detail) == (end.stage, end.reason)


def test_a_discussion_on_an_earlier_run_tells_nothing_of_this_one(space, service: Service):
    end = End(FINISHED, 0)
    open_api("hf_nils").create_discussion(SPACE, discussion_title(end, "9999"), description="", repo_type="space")
    space.set_stage("PAUSED")
    assert service.state(SPACE).stage == "stopped"


@pytest.mark.parametrize("end", [End(FINISHED, 0), End(FAILED, 2, "no column 'prompt'")])
def test_where_no_discussion_could_be_opened_the_last_line_tells(space, service: Service, end: End):
    space.set_stage("RUNNING")
    space.log("step 1/1  loss 2.0")
    space.log(end_line(end, "0a1b"))
    space.set_stage("PAUSED")
    assert (service.state(SPACE).stage, service.state(SPACE).detail) == (end.stage, end.reason)
    space.variables[RUN] = "9999"  # and the log is still that of the run before
    assert service.state(SPACE).stage == "stopped"


def test_a_paused_space_whose_log_cant_be_had_is_stopped(hub: HubDouble, space, service: Service):
    space.set_stage("PAUSED")
    hub.fail("GET", "/logs/run", status=404, times=None)
    assert service.state(SPACE).stage == "stopped"


def test_logs_go_from_building_to_the_end_and_hide_the_token(space, service: Service):
    log.hide_secret("hf_nils")
    space.set_stage("BUILDING")
    space.log("Step 1: FROM python", build=True)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(service.logs(SPACE, True)))
    reader.start()
    threading.Event().wait(0.5)
    space.set_stage("RUNNING")
    space.log("step 1/2  loss 2.0\nwith hf_nils in it")
    threading.Event().wait(0.5)
    space.log("step 2/2  loss 1.0")
    space.set_stage("PAUSED")
    reader.join(timeout=60)
    assert said == ["Step 1: FROM python", "step 1/2  loss 2.0", "with **** in it", "step 2/2  loss 1.0"]


def test_logs_survive_a_cut(hub: HubDouble, space, service: Service):
    space.set_stage("RUNNING")
    for number in range(4):
        space.log(f"step {number}")
    hub.fail("GET", "/logs/run", status="cut")
    threading.Timer(1.5, space.set_stage, ["PAUSED"]).start()
    assert list(service.logs(SPACE, True)) == [f"step {number}" for number in range(4)]


def test_logs_so_far_without_following(space, service: Service):
    space.set_stage("RUNNING")
    space.log("step 1")
    space.set_stage("PAUSED")
    assert list(service.logs(SPACE, False)) == ["step 1"]


def test_stopping_pauses_and_removing_deletes(hub: HubDouble, space, service: Service):
    space.set_stage("RUNNING")
    service.stop(SPACE)
    assert space.stage == "PAUSED"
    service.remove(SPACE)
    service.remove(SPACE)  # twice is no mistake
    assert not hub.exists("space", SPACE)


def test_services_are_opened_by_the_backends_name(hub: HubDouble):
    hub.add_user("nils")
    assert type(open_service("spaces-t4-small", "hf_nils")).__name__ == "SpaceService"
    assert type(open_service("jobs-h200", "hf_nils")).__name__ == "JobService"
