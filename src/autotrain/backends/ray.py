"""A Ray cluster: the driver as a child process of this machine, which has Ray Train start the workers."""

import os
from collections.abc import Mapping

from autotrain.backends.base import Job, Plan
from autotrain.backends.local import plan_worker
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams

NAMES = ("ray",)


def open_backend(name: str) -> "RayBackend":
    return RayBackend()


class RayBackend:
    """Runs jobs on a Ray cluster; the driver is waited for unless the job is detached."""

    def plan(self, job: Job) -> Plan:
        check(job.params)
        plan = plan_worker(job, "ray", ["ray"], waits=not job.detach)
        return Plan(f"{plan.text}\n{describe(job.params, os.environ)}", plan.start)


def check(params: LLMTrainingParams) -> None:
    """Raises ConfigError for what Ray decides by itself."""
    for name in ("nodes", "node_rank", "master"):
        if params.is_explicit(name) and getattr(params, name) not in (None, 1):
            raise ConfigError(
                f"{name}: with backend ray, Ray chooses the machines; leave it out, and say with devices how many workers "
                "there are in all"
            )


def describe(params: LLMTrainingParams, environment: Mapping[str, str]) -> str:
    """Where, how many, and with what."""
    address = params.ray_address or environment.get("RAY_ADDRESS") or "one started on this machine"
    workers = f"{params.devices} workers" if params.devices else "a worker for each GPU, without any one worker"
    resources = params.ray_resources or "1 CPU, and a GPU where there are some"
    again = f"; after a failure up to {params.max_restarts} new starts" if params.max_restarts else ""
    return f"on the Ray cluster: {address}; {workers}, each with {resources}{again}"
