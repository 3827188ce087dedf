"""Hugging Face Jobs: a container that trains, pushes the model, and ends; billed while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.backends.base import Job, Outcome, Plan
from autotrain.backends.trial import try_data
from autotrain.cloud.belongings import Belongings, brought
from autotrain.cloud.bill import Bill, Upload
from autotrain.cloud.bundle import extras_for, install_commands, package_files, python_version, size_of
from autotrain.cloud.checks import check_config, check_hub, open_account
from autotrain.cloud.environment import Handover, for_the_cloud, new_run_id, secrets_of, variables_of
from autotrain.cloud.follow import commands_for, follow
from autotrain.cloud.hardware import hardware_of, live_price
from autotrain.cloud.hours import Hours, hours_by_hub, hours_here
from autotrain.cloud.job_service import JobService
from autotrain.cloud.upload import told_if_left
from autotrain.errors import HubError
from autotrain.hub.client import account, explained, fault_of
from autotrain.runs import register_cloud
from autotrain.trainers.clm.params import LLMTrainingParams

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo

NAMES = (
    "jobs-cpu-basic",
    "jobs-cpu-upgrade",
    "jobs-cpu-xl",
    "jobs-cpu-performance",
    "jobs-t4-small",
    "jobs-t4-medium",
    "jobs-l4x1",
    "jobs-l4x4",
    "jobs-l40sx1",
    "jobs-l40sx4",
    "jobs-l40sx8",
    "jobs-a10g-small",
    "jobs-a10g-large",
    "jobs-a10g-largex2",
    "jobs-a10g-largex4",
    "jobs-a100-large",
    "jobs-a100x4",
    "jobs-a100x8",
    "jobs-h200",
    "jobs-h200x2",
    "jobs-h200x4",
    "jobs-h200x8",
    "jobs-rtx-pro-6000",
    "jobs-rtx-pro-6000x2",
    "jobs-rtx-pro-6000x4",
    "jobs-rtx-pro-6000x8",
)
# The hub ends every Job after a time; without one said, after half an hour.
DEFAULT_MAX_HOURS = 24.0
# What installing, loading, and pushing that has to be tried again may take on top of max_hours, before the hub ends the Job.
AROUND_TRAINING_SECONDS = 7200
# The labels that tell which start a Job belongs to, and which project.
_LABEL, _PROJECT_LABEL = "autotrain-run", "autotrain-project"
_PACKAGE, _PACKAGE_REVISION = "AUTOTRAIN_PACKAGE", "AUTOTRAIN_PACKAGE_REVISION"
_QUIET = {"PYTHONUNBUFFERED": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "PIP_QUIET": "1"}
# Fetches this package from the user's own repository with the token of the environment, and lets it do the rest.
_SCRIPT = """\
set -eu
cd "$(mktemp -d)"
pip install --no-cache-dir 'huggingface_hub>=2,<3'
python - <<'END'
import os
from huggingface_hub import snapshot_download
snapshot_download(
    os.environ["{repo}"], repo_type="dataset", revision=os.environ["{revision}"], local_dir="package"
)
END
{install}
exec autotrain api
"""


def open_backend(name: str) -> "JobsBackend":
    """`jobs-` and the name of a Job's hardware."""
    return JobsBackend(name)


def package_repo(username: str) -> str:
    """Id of the data set that this package is uploaded to for Jobs; each Job names the commit that it takes."""
    return f"{username}/autotrain-package"


@dataclass(frozen=True)
class JobsBackend:
    """Runs jobs as a Job each."""

    name: str

    def plan(self, job: Job) -> Plan:
        params = job.params
        belongings = check_config(params, self.name)
        if params.max_hours is None:
            log.notice(f"max_hours isn't set: a Job gets a bound, here {DEFAULT_MAX_HOURS:g} hours")
        work = _Work(job, self.name, belongings, package_files(), _script(params, self.name))
        return Plan(work.bill(params.username or "USER").text(), work.start, work.confirmation)


def _script(params: LLMTrainingParams, backend: str) -> str:
    """What runs in the container."""
    extras = ("api", *extras_for(params, hardware_of(backend)))
    install = "\n".join(install_commands(extras, params.model, "./package"))
    return _SCRIPT.format(repo=_PACKAGE, revision=_PACKAGE_REVISION, install=install)


@dataclass(frozen=True)
class _Work:
    """A planned run.  belongings: what it needs of this machine.  files: this package.  script: what the container runs."""

    job: Job
    backend: str
    belongings: Belongings
    files: Mapping[str, bytes]
    script: str

    @property
    def max_hours(self) -> float:
        return self.job.params.max_hours or DEFAULT_MAX_HOURS

    @property
    def timeout_seconds(self) -> int:
        return int(self.max_hours * 3600) + AROUND_TRAINING_SECONDS

    def bill(self, username: str, hours: Hours | None = None) -> Bill:
        """hours: None for what is known here."""
        params = self.job.params
        hours = hours or hours_here(params, hardware_of(self.backend), self.belongings.splits)
        target, package = f"{username}/{params.project_name}", package_repo(username)
        created = [
            f"Job of {username} on {hardware_of(self.backend).name}: ends by itself, and after "
            f"{self.timeout_seconds / 3600:.2f} hours at the latest",
            *self.belongings.made(username, params.project_name),
            f"data set {package}: private, with this version of AutoTrain (updated if it is there)",
            f"model {target}: {'private' if params.hub_private else 'public'}, with the result (updated if it is there)",
        ]
        program = Upload(f"this version of AutoTrain, {len(self.files)} files -> data set {package}", size_of(self.files))
        names = tuple(secrets_of(Handover(params, ""), ""))
        return Bill(
            self.backend,
            created,
            [*self.belongings.uploads(username, params.project_name), program],
            names,
            self.max_hours,
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
        """Upload data and package, start the Job, and follow it.  Raises UserErrors before anything is billed."""
        api, token, params = open_account(self.job.params)
        username, project = params.username or "", params.project_name
        refusal = account(api).refusal("job.write", username)
        if refusal:
            raise HubError(f"backend {self.backend}: {refusal}")
        check_hub(params, token)
        _check_alone(api, username, project)
        try_data(Job(params), self.belongings.splits)
        job_id = self._launch(api, token, params)
        url = f"{api.endpoint}/jobs/{job_id}"
        number = register_cloud(project, self.backend, job_id, f"{username}/{project}", url, self.job.params.to_json())
        name = project if number is None else str(number)
        log.info(f"the Job {job_id} is starting; its page: {url}")
        if self.job.detach:
            log.info(commands_for(name))
            return Outcome(job_id, None)
        followed = follow(JobService(api), job_id, name)
        return Outcome(job_id, followed.exit_code, followed.reason)

    def _launch(self, api: "HfApi", token: str, params: LLMTrainingParams) -> str:
        """Returns the Job's id with its owner's name.  Raises HubError."""
        username, package = params.username or "", package_repo(params.username or "")
        local = self.belongings.elsewhere(params, username)
        there = for_the_cloud(local, username, local.data_path, self.max_hours)
        with brought(api, params, self.belongings, token) as revision:
            commit = _upload_package(api, package, self.files)
            with told_if_left("this version of AutoTrain", package):
                handover = Handover(there, new_run_id(), self.job.resume, revision)
                return self._run(api, token, handover, {_PACKAGE: package, _PACKAGE_REVISION: commit})

    def _run(self, api: "HfApi", token: str, handover: Handover, package: Mapping[str, str]) -> str:
        username, label = handover.params.username or "", {_LABEL: handover.run}
        try:
            with explained(f"starting a Job on {hardware_of(self.backend).name}"):
                started = api.run_job(
                    image=f"python:{python_version()}",
                    command=["bash", "-c", self.script],
                    env={**variables_of(handover), **_QUIET, **package},
                    secrets=secrets_of(handover, token),
                    flavor=hardware_of(self.backend).name,
                    timeout=self.timeout_seconds,
                    name=f"autotrain-{handover.params.project_name}",
                    labels={**label, _PROJECT_LABEL: handover.params.project_name},
                    namespace=username,
                )
        except HubError as problem:
            started = _started_all_the_same(api, username, label, problem)
        return f"{started.owner.name}/{started.id}"


def _check_alone(api: "HfApi", username: str, project: str) -> None:
    """Raise HubError where a Job of this project is at work: both would write to one model and its checkpoints."""
    from huggingface_hub import JobStage

    try:
        with explained("the list of Jobs"):
            jobs = list(api.list_jobs(labels={_PROJECT_LABEL: project}, namespace=username))
    except HubError as problem:
        log.notice(f"{problem}; whether another Job of {project} is at work isn't known")
        return
    at_work = [job for job in jobs if job.status.stage in (JobStage.SCHEDULING, JobStage.RUNNING)]
    if at_work:
        raise HubError(
            f"a Job of {project} is at work: {api.endpoint}/jobs/{username}/{at_work[0].id}; both would write to the model "
            f"{username}/{project}: stop it first (autotrain runs stop, or on its page), or choose another project_name"
        )


def _started_all_the_same(api: "HfApi", username: str, label: dict[str, str], problem: HubError) -> "JobInfo":
    """The Job that was started though the hub's answer was lost: it costs, so it mustn't be forgotten.

    Raises `problem` if there's none, or HubError where that can't be known.
    """
    fault = fault_of(problem)
    if fault is None or not fault.may_pass or fault.status == 429:
        raise problem
    try:
        with explained("the list of Jobs"):
            found = next(iter(api.list_jobs(labels=label, namespace=username)), None)
    except HubError:
        raise HubError(
            f"{problem}; whether a Job was started all the same isn't known: look at {api.endpoint}/jobs/{username}, "
            "and cancel it there"
        ) from problem
    if found is None:
        raise problem
    log.notice("the hub's answer was lost, but the Job was started")
    return found


def _upload_package(api: "HfApi", repo_id: str, files: Mapping[str, bytes]) -> str:
    """Make `files` the package that the repository holds, and return the commit.  Raises HubError."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    with explained(f"uploading AutoTrain itself to {repo_id}"):
        api.create_repo(repo_id, repo_type="dataset", private=True, exist_ok=True)
        there = api.list_repo_files(repo_id, repo_type="dataset")
        commit = api.create_commit(
            repo_id,
            [
                *(CommitOperationAdd(path, content) for path, content in files.items()),
                *(CommitOperationDelete(path) for path in there if path.startswith("src/") and path not in files),
            ],
            commit_message="AutoTrain",
            repo_type="dataset",
        )
    return commit.oid
