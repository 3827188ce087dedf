"""Jobs seen from here."""

import threading

import pytest
from hub_double import HubDouble

from autotrain.cloud.job_service import JobService
from autotrain.cloud.report import FAILED, End, end_line
from autotrain.hub.client import open_api


@pytest.fixture
def job(hub: HubDouble):
    hub.add_user("nils")
    started = open_api("hf_nils").run_job(
        image="python:3.12", command=["true"], flavor="cpu-basic", namespace="nils", timeout=3600
    )
    return hub.jobs["nils", started.id], f"nils/{started.id}"


@pytest.fixture
def service(hub: HubDouble) -> JobService:
    return JobService(open_api("hf_nils"), poll_seconds=0.1)


@pytest.mark.parametrize(
    ("stage", "ours"),
    [
        ("SCHEDULING", "starting"),
        ("RUNNING", "running"),
        ("COMPLETED", "finished"),
        ("CANCELED", "stopped"),
        ("ERROR", "failed"),
        ("DELETED", "gone"),
    ],
)
def test_each_stage_has_a_word(job, service: JobService, stage: str, ours: str):
    there, job_id = job
    there.set_stage(stage)
    state = service.state(job_id)
    assert state.stage == ours and state.url.endswith(f"/jobs/{job_id}")


def test_a_job_that_isnt_there_is_gone(hub: HubDouble, job, service: JobService):
    assert service.state("nils/nosuch").stage == "gone"


def test_a_failed_job_tells_why_in_its_last_line(job, service: JobService):
    there, job_id = job
    there.set_stage("RUNNING")
    there.log(end_line(End(FAILED, 1, "the model doesn't fit into memory")))
    there.set_stage("ERROR")
    assert service.state(job_id).detail == "the model doesn't fit into memory"


def test_logs_are_followed_to_the_end(job, service: JobService):
    there, job_id = job
    there.set_stage("RUNNING")
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(service.logs(job_id, True)))
    reader.start()
    there.log("step 1/2  loss 2.0")
    threading.Event().wait(0.5)
    there.log("step 2/2  loss 1.0")
    there.set_stage("COMPLETED")
    reader.join(timeout=90)
    assert said == ["step 1/2  loss 2.0", "step 2/2  loss 1.0"]


def test_stopping_cancels(job, service: JobService):
    there, job_id = job
    there.set_stage("RUNNING")
    service.stop(job_id)
    assert there.stage == "CANCELED" and service.state(job_id).stage == "stopped"
