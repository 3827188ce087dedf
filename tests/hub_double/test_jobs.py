"""Jobs through the real client."""

import threading

import pytest
from hub_double import HubDouble
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, JobNotFoundError


@pytest.fixture
def job(hub: HubDouble, api: HfApi):
    started = api.run_job(
        image="python:3.11",
        command=["autotrain", "job"],
        env={"TASK_ID": "9"},
        secrets={"HF_TOKEN": "hf_nils"},
        flavor="a10g-small",
        timeout="2h",
        labels={"autotrain": "x"},
    )
    return hub.jobs["nils", started.id]


def test_a_job_is_started_as_asked(hub: HubDouble, api: HfApi, job):
    assert (job.image, job.command, job.flavor, job.timeout) == ("python:3.11", ["autotrain", "job"], "a10g-small", 7200)
    assert job.environment == {"TASK_ID": "9"} and job.secrets == {"HF_TOKEN": "hf_nils"}
    assert job.process_environment()["JOB_ID"] == job.id
    told = api.inspect_job(job_id=job.id)
    assert (told.status.stage, told.flavor, told.owner.name) == ("SCHEDULING", "a10g-small", "nils")
    assert told.url == f"{hub.url}/jobs/nils/{job.id}" and told.secrets == {} and told.labels["autotrain"] == "x"
    assert hub.places_with("hf_nils") == ["POST /api/jobs/nils"]


def test_stages_and_durations(api: HfApi, job):
    job.set_stage("RUNNING")
    assert api.inspect_job(job_id=job.id).started_at is not None
    job.set_stage("ERROR", message="Job timeout")
    told = api.inspect_job(job_id=job.id)
    assert (told.status.stage, told.status.message) == ("ERROR", "Job timeout")
    assert told.durations.running_secs == round((told.finished_at - told.started_at).total_seconds())


def test_logs_of_a_running_job_are_followed_until_it_ends(api: HfApi, job):
    job.set_stage("RUNNING")
    job.log("Step 1")
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(api.fetch_job_logs(job_id=job.id, follow=True)))
    reader.start()
    job.log("Step 2")
    job.set_stage("COMPLETED")
    reader.join(timeout=60)
    assert seen == ["Step 1", "Step 2"] == job.logs


def test_a_stream_of_logs_that_is_cut_goes_on_without_a_line_twice(hub: HubDouble, api: HfApi, job, hurried):
    job.set_stage("RUNNING")
    for number in range(3):
        job.log(f"Step {number}")
    hub.fail("GET", "/logs", status="cut")
    lines = api.fetch_job_logs(job_id=job.id, follow=True)
    assert [next(lines) for _ in range(3)] == ["Step 0", "Step 1", "Step 2"]
    job.set_stage("COMPLETED")
    assert list(lines) == [] and len(hub.sent("GET", "/logs")) == 2


def test_the_last_lines_alone(api: HfApi, job):
    for number in range(5):
        job.log(f"Step {number}")
    job.set_stage("COMPLETED")
    assert list(api.fetch_job_logs(job_id=job.id, tail=2)) == ["Step 3", "Step 4"]


def test_cancel_list_and_labels(hub: HubDouble, api: HfApi, job):
    other = api.run_job(image="python:3.11", command=["true"], namespace="acme")
    assert [each.id for each in api.list_jobs(namespace="nils")] == [job.id]
    assert [each.id for each in api.list_jobs(namespace="acme")] == [other.id]
    assert list(api.list_jobs(namespace="nils", status="RUNNING")) == []
    assert [each.id for each in api.list_jobs(namespace="nils", labels={"autotrain": "x"})] == [job.id]
    api.cancel_job(job_id=job.id)
    assert job.stage == "CANCELED" and job.wait_for_stage("CANCELED", seconds=0)
    assert api.update_job_labels(job_id=job.id, labels={"kept": "yes"}).labels == {"kept": "yes"}


def test_a_job_that_is_not_there(api: HfApi):
    with pytest.raises(JobNotFoundError):
        api.inspect_job(job_id="0" * 24, namespace="nils")


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ({"can_pay": False}, "402"),
        ({"role": "read"}, "read token"),
        ({"role": "fineGrained"}, "lacks job.write"),
    ],
)
def test_who_may_not_run_jobs(hub: HubDouble, as_user, account: dict, message: str):
    with pytest.raises(HfHubHTTPError, match=message):
        as_user("anna", **account).run_job(image="python:3.11", command=["true"])
    assert hub.jobs == {}


def test_hardware_with_prices(api: HfApi):
    machines = {each.name: each for each in api.list_jobs_hardware()}
    assert machines["h200"].unit_label == "minute" and machines["a100x4"].accelerator.quantity == "4"
    with pytest.raises(HfHubHTTPError, match='"flavor" must be one of'):
        api.run_job(image="python:3.11", command=["true"], flavor="quantum")
