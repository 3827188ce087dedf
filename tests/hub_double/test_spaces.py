"""Spaces through the real client."""

import threading

import pytest
from hub_double import HubDouble
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

SPACE = "nils/autotrain-x"


@pytest.fixture
def space(hub: HubDouble, api: HfApi):
    api.create_repo(
        SPACE,
        repo_type="space",
        space_sdk="docker",
        private=True,
        space_hardware="a10g-small",
        space_sleep_time=604800,
        space_secrets=[{"key": "HF_TOKEN", "value": "hf_nils"}],
        space_variables=[{"key": "TASK_ID", "value": "9"}],
    )
    return hub.spaces[SPACE]


def add_dockerfile(api: HfApi) -> None:
    api.upload_file(repo_id=SPACE, repo_type="space", path_in_repo="Dockerfile", path_or_fileobj=b"FROM python:3.11\n")


def test_a_space_is_made_as_asked(hub: HubDouble, api: HfApi, space):
    assert space.private and (space.hardware, space.sleep_time) == ("a10g-small", 604800)
    assert space.secrets == {"HF_TOKEN": "hf_nils"} and space.variables == {"TASK_ID": "9"}
    runtime = api.get_space_runtime(SPACE)
    assert (runtime.stage, runtime.requested_hardware, runtime.sleep_time) == ("NO_APP_FILE", "a10g-small", 604800)
    assert b"sdk: docker" in space.files["README.md"]
    assert hub.places_with("hf_nils") == ["POST /api/repos/create"]


def test_it_builds_when_its_files_come_and_runs_when_the_test_says_so(api: HfApi, space):
    add_dockerfile(api)
    assert api.get_space_runtime(SPACE).stage == "BUILDING" and api.get_space_runtime(SPACE).hardware is None
    space.set_stage("RUNNING")
    assert api.get_space_runtime(SPACE).hardware == "a10g-small" and api.space_info(SPACE).runtime.stage == "RUNNING"


def test_front_matter_that_the_hub_refuses_is_an_error_of_configuration(api: HfApi, space):
    api._validate_yaml = lambda *_, **__: None  # as git would push it
    api.upload_file(repo_id=SPACE, repo_type="space", path_in_repo="README.md", path_or_fileobj=b"# no front matter")
    assert api.get_space_runtime(SPACE).stage == "CONFIG_ERROR" and "sdk" in space.error


def test_secrets_are_written_and_never_read(api: HfApi, space):
    api.add_space_secret(SPACE, "PARAMS", "{}")
    api.delete_space_secret(SPACE, "HF_TOKEN")
    assert set(api.get_space_secrets(SPACE)) == {"PARAMS"} and space.secrets == {"PARAMS": "{}"}
    api.add_space_variable(SPACE, "MODEL", "acme/base")
    assert {key: each.value for key, each in api.get_space_variables(SPACE).items()} == {
        "TASK_ID": "9",
        "MODEL": "acme/base",
    }
    with pytest.raises(HfHubHTTPError, match="required pattern"):
        api.add_space_secret(SPACE, "not a name", "x")


def test_a_process_in_it_sees_secrets_variables_and_where_it_is(space):
    seen = space.environment()
    assert (seen["HF_TOKEN"], seen["TASK_ID"], seen["SPACE_ID"]) == ("hf_nils", "9", SPACE)
    assert seen["SPACE_HOST"] == "nils-autotrain-x.hf.space" and "OAUTH_CLIENT_ID" not in seen


def test_pause_and_restart(api: HfApi, space):
    add_dockerfile(api)
    space.set_stage("RUNNING")
    assert api.pause_space(SPACE).stage == "PAUSED" and space.wait_for_stage("PAUSED", seconds=0)
    api.add_space_variable(SPACE, "MODEL", "acme/base")
    assert space.stage == "PAUSED"  # a paused Space stays so
    assert api.restart_space(SPACE).stage == "BUILDING" and space.restarts == 1


def test_hardware_and_sleep_can_be_changed(api: HfApi, space):
    assert api.request_space_hardware(SPACE, "t4-small", sleep_time=60).requested_hardware == "t4-small"
    assert api.set_space_sleep_time(SPACE, 300).sleep_time == 300
    with pytest.raises(HfHubHTTPError, match='"flavor" must be one of'):
        api.request_space_hardware(SPACE, "quantum")


def test_prices_come_with_the_list_of_hardware(hub: HubDouble, api: HfApi):
    machines = {each.name: each for each in api.list_spaces_hardware()}
    assert machines["a10g-small"].accelerator.model == "A10G" and machines["cpu-basic"].unit_cost_micro_usd == 0
    assert machines["a10g-small"].unit_cost_usd * 60 == pytest.approx(1.0, rel=1e-3)


def test_hardware_that_can_not_be_paid_is_refused(hub: HubDouble, as_user):
    api = as_user("anna", can_pay=False)
    with pytest.raises(HfHubHTTPError, match="402"):
        api.create_repo("anna/space", repo_type="space", space_sdk="docker", space_hardware="t4-small")
    assert not hub.exists("space", "anna/space")
    api.create_repo("anna/space", repo_type="space", space_sdk="docker")


def test_only_its_owner_manages_a_space(hub: HubDouble, as_user, space):
    hub.repositories["space", SPACE].private = False
    anna = as_user("anna")
    for forbidden in (anna.pause_space, anna.get_space_secrets, lambda name: list(anna.fetch_space_logs(name))):
        with pytest.raises(HfHubHTTPError, match="403"):
            forbidden(SPACE)


def test_logs_are_followed_until_it_pauses(api: HfApi, space):
    add_dockerfile(api)
    space.set_stage("RUNNING")
    space.log("Loading the model\nStep 1")
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(api.fetch_space_logs(SPACE, follow=True)))
    reader.start()
    space.log("Step 2")
    space.set_stage("PAUSED")
    reader.join(timeout=60)
    assert seen == ["Loading the model", "Step 1", "Step 2"] == space.logs
    assert list(api.fetch_space_logs(SPACE, build=True)) == []


def test_a_stream_of_logs_that_is_cut_goes_on_without_a_line_twice(hub: HubDouble, api: HfApi, space):
    for number in range(3):
        space.log(f"Step {number}")
    hub.fail("GET", "/logs/run", status="cut")
    assert list(api.fetch_space_logs(SPACE, follow=True)) == ["Step 0", "Step 1", "Step 2"]
    assert len(hub.sent("GET", "/logs/run")) == 2


def test_discussions(hub: HubDouble, api: HfApi, as_user, space):
    opened = api.create_discussion(SPACE, "Your training has finished", repo_type="space", description="All well.")
    api.comment_discussion(SPACE, opened.num, "Thanks", repo_type="space")
    api.change_discussion_status(SPACE, opened.num, "closed", repo_type="space")
    (kept,) = space.discussions
    assert (kept.title, kept.text, kept.status) == ("Your training has finished", "All well.", "closed")
    assert [each.title for each in api.get_repo_discussions(SPACE, repo_type="space")] == [kept.title]
    assert api.get_discussion_details(SPACE, 1, repo_type="space").events[1].content == "Thanks"
    fine = as_user("anna", role="fineGrained", orgs=["acme"])
    fine.create_repo("anna/space", repo_type="space", space_sdk="docker")
    with pytest.raises(HfHubHTTPError, match=r"lacks discussion\.write"):
        fine.create_discussion("anna/space", "Done", repo_type="space")


def test_a_deleted_space_is_gone(hub: HubDouble, api: HfApi, space):
    api.delete_repo(SPACE, repo_type="space")
    assert SPACE not in hub.spaces and space.stage == "DELETING"
