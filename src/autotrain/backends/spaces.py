"""Hugging Face Spaces: a private docker Space for a run, which pushes the model and pauses itself at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.backends.base import Job, Outcome, Plan
from autotrain.backends.trial import try_data
from autotrain.cloud.belongings import Belongings, brought
from autotrain.cloud.bill import Bill, Upload
from autotrain.cloud.bundle import extras_for, size_of
from autotrain.cloud.checks import check_config, check_hub, open_account
from autotrain.cloud.environment import Handover, for_the_cloud, new_run_id, secrets_of, variables_of
from autotrain.cloud.follow import commands_for, follow
from autotrain.cloud.hardware import hardware_of, live_price
from autotrain.cloud.hours import Hours, hours_by_hub, hours_here
from autotrain.cloud.image import START_API, space_files
from autotrain.cloud.space import SpaceRequest, add_variables, claimed_space, fill_space
from autotrain.cloud.space_service import SpaceService
from autotrain.hub.client import explained
from autotrain.runs import register_cloud
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi

NAMES = (
    "spaces-cpu-basic",
    "spaces-cpu-upgrade",
    "spaces-t4-small",
    "spaces-t4-medium",
    "spaces-l4x1",
    "spaces-l4x4",
    "spaces-l40sx1",
    "spaces-l40sx4",
    "spaces-l40sx8",
    "spaces-a10g-small",
    "spaces-a10g-large",
    "spaces-a10g-largex2",
    "spaces-a10g-largex4",
    "spaces-a100-large",
    "spaces-a100x4",
    "spaces-a100x8",
)
_ABOUT = """\
A training run of `{project}`. It pushes its result to a model repository of its own and then pauses this Space;
how it ended is told in a discussion here. The Space can be deleted afterwards."""


def open_backend(name: str) -> "SpacesBackend":
    """`spaces-` and the name of a Space's hardware."""
    return SpacesBackend(name)


@dataclass(frozen=True)
class SpacesBackend:
    """Runs jobs on a Space each."""

    name: str

    def plan(self, job: Job) -> Plan:
        belongings = check_config(job.params, self.name)
        work = _Work(job, self.name, belongings, _files(job.params, self.name))
        return Plan(work.bill(job.params.username or "USER").text(), work.start, work.confirmation)


def space_id(username: str, project: str) -> str:
    """Id of a project's Space."""
    return f"{username}/autotrain-{project}"


def _files(params: LLMTrainingParams, backend: str) -> dict[str, bytes]:
    extras = ("api", *extras_for(params, hardware_of(backend)))
    return space_files(params.project_name, _ABOUT.format(project=params.project_name), START_API, extras, params.model)


@dataclass(frozen=True)
class _Work:
    """A planned run.  belongings: what it needs of this machine.  files: what the Space holds."""

    job: Job
    backend: str
    belongings: Belongings
    files: Mapping[str, bytes]

    def bill(self, username: str, hours: Hours | None = None) -> Bill:
        """hours: None for what is known here."""
        params = self.job.params
        hours = hours or hours_here(params, hardware_of(self.backend), self.belongings.splits)
        target = f"{username}/{params.project_name}"
        created = [
            f"Space {space_id(username, params.project_name)}: private, docker, hardware {hardware_of(self.backend).name}; "
            "paused at the end, also on failure",
            *self.belongings.made(username, params.project_name),
            f"model {target}: {'private' if params.hub_private else 'public'}, with the result (updated if it is there)",
        ]
        program = Upload(f"this version of AutoTrain, {len(self.files)} files", size_of(self.files))
        names = tuple(secrets_of(Handover(params, ""), ""))
        return Bill(
            self.backend,
            created,
            [*self.belongings.uploads(username, params.project_name), program],
            names,
            params.max_hours,
            hours,
        )

    def confirmation(self) -> str:
        """The bill with the hub's price of this moment.  Raises HubError."""
        api, _, params = open_account(self.job.params)
        with explained("the hub's prices"):
            price = live_price(api, self.backend)
        hours = hours_by_hub(api, params, hardware_of(self.backend), self.belongings.splits)
        return self.bill(params.username or "", hours).text(price, is_live=True)

    def start(self) -> Outcome:
        """Make the Space, upload data and program, and follow the run.  Raises UserErrors before anything is billed."""
        api, token, params = open_account(self.job.params)
        check_hub(params, token)
        try_data(Job(params), self.belongings.splits)
        job_id = space_id(params.username or "", params.project_name)
        self._launch(api, token, params, job_id)
        url = f"{api.endpoint}/spaces/{job_id}"
        target = f"{params.username}/{params.project_name}"
        number = register_cloud(params.project_name, self.backend, job_id, target, url, self.job.params.to_json())
        name = params.project_name if number is None else str(number)
        log.info(f"the Space {job_id} is building; its page: {url}")
        if self.job.detach:
            log.info(commands_for(name))
            return Outcome(job_id, None)
        followed = follow(SpaceService(api), job_id, name)
        return Outcome(job_id, followed.exit_code, followed.reason)

    def _launch(self, api: "HfApi", token: str, params: LLMTrainingParams, job_id: str) -> None:
        """The Space first, still without a program: where it can't be had, nothing is uploaded.  Raises HubError."""
        username = params.username or ""
        local = self.belongings.elsewhere(params, username)
        handover = Handover(
            for_the_cloud(local, username, local.data_path, params.max_hours), new_run_id(), resume=self.job.resume
        )
        secrets = secrets_of(handover, token)
        request = SpaceRequest(job_id, hardware_of(self.backend).name, secrets, variables_of(handover), mark="PARAMS")
        with claimed_space(api, request) as is_new, brought(api, params, self.belongings, token) as revision:
            if revision:
                add_variables(api, job_id, variables_of(replace(handover, data_revision=revision)))
            fill_space(api, job_id, self.files, is_new=is_new)
