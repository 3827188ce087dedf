"""Jobs: what was asked for, stages, logs. Nothing runs in them; the tests say what happens there."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hub_double import hardware
from hub_double.access import require
from hub_double.accounts import Access, identifier
from hub_double.protocol import Answer, Call, Refused, as_json, now, route
from hub_double.streams import LogBook

if TYPE_CHECKING:
    from hub_double.double import HubDouble

DONE = frozenset({"COMPLETED", "CANCELED", "ERROR", "DELETED"})
STAGES = DONE | {"SCHEDULING", "RUNNING"}


@dataclass
class Job:
    """spec: what the client sent, secrets included. timeout: seconds, None: the hub's own."""

    hub: "HubDouble"
    namespace: str
    id: str
    spec: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)
    stage: str = "SCHEDULING"
    stages: list[str] = field(default_factory=list)
    message: str | None = None
    created_at: str = field(default_factory=now)
    started_at: str | None = None
    finished_at: str | None = None

    def __post_init__(self) -> None:
        self.log_book = LogBook(self.hub)

    @property
    def command(self) -> list[str]:
        return [*self.spec["command"], *self.spec.get("arguments", [])]

    @property
    def image(self) -> str:
        return self.spec.get("dockerImage") or f"spaces/{self.spec['spaceId']}"

    @property
    def flavor(self) -> str:
        return self.spec["flavor"]

    @property
    def environment(self) -> dict[str, str]:
        return self.spec["environment"]

    @property
    def secrets(self) -> dict[str, str]:
        return self.spec.get("secrets", {})

    @property
    def timeout(self) -> int | None:
        return self.spec.get("timeoutSeconds")

    @property
    def volumes(self) -> list[dict[str, Any]]:
        return self.spec.get("volumes", [])

    @property
    def logs(self) -> list[str]:
        return [line for line in self.log_book.lines if not line.startswith("===== Job started")]

    def log(self, text: str) -> None:
        """A line (or several) that the Job prints."""
        self.log_book.add(text)

    def process_environment(self) -> dict[str, str]:
        """The variables that a process in this Job sees, beyond those of its image."""
        return {"JOB_ID": self.id, "ACCELERATOR": "", "CPU_CORES": "2", "MEMORY": "16Gi", **self.environment, **self.secrets}

    def set_stage(self, stage: str, message: str | None = None) -> None:
        if stage not in STAGES:
            raise ValueError(f"no stage {stage}; known: {sorted(STAGES)}")
        with self.hub.changed:
            self.stage, self.message = stage, message
            self.stages.append(stage)
            if stage == "RUNNING" and self.started_at is None:
                self.started_at = now()
                self.log_book.add(f"===== Job started at {self.started_at} =====")
            self.finished_at = now() if stage in DONE else None
            self.hub.changed.notify_all()

    def wait_for_stage(self, stage: str, seconds: float = 60) -> bool:
        """Waits until it gets there; False where it does not in time."""
        with self.hub.changed:
            return self.hub.changed.wait_for(lambda: self.stage == stage, seconds)

    def described(self) -> dict[str, Any]:
        """What `JobInfo` reads. Secrets are never given back."""
        ended = self.finished_at or now()
        kept = ("dockerImage", "spaceId", "arguments", "command", "environment", "flavor", "volumes", "expose", "network")
        return {
            **{key: self.spec[key] for key in kept if key in self.spec},
            "id": self.id,
            "createdAt": self.created_at,
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "secrets": {},
            "labels": self.labels or None,
            "retry": self.spec.get("attempts", 1) - 1,
            "status": {"stage": self.stage, "message": self.message},
            "durations": {
                "schedulingSecs": _seconds(self.created_at, self.started_at),
                "runningSecs": _seconds(self.started_at, ended),
                "totalSecs": _seconds(self.created_at, ended),
            },
            "owner": {"id": identifier(self.namespace), "name": self.namespace, "type": "user"},
            "initiator": {"type": "user", "id": identifier(self.namespace), "name": self.namespace},
        }


def _seconds(start: str | None, end: str | None) -> int | None:
    if start is None or end is None:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())


def _runner(call: Call, namespace: str) -> Access:
    access = call.signed_in()
    require(access, "job.write", namespace, f"run jobs in the namespace {namespace}")
    return access


def _found(call: Call, namespace: str, job_id: str) -> Job:
    access = call.signed_in()
    job = call.hub.jobs.get((namespace, job_id))
    if job is None or not access.belongs_to(namespace):
        raise Refused(404, "Job not found")
    return job


def create(call: Call, namespace: str) -> Answer:
    access, spec = _runner(call, namespace), call.json()
    return _started(call, access, namespace, spec)


def _started(call: Call, access: Access, namespace: str, spec: dict[str, Any]) -> Answer:
    if not spec.get("command") or not (spec.get("dockerImage") or spec.get("spaceId")):
        raise Refused(400, '"command" and one of "dockerImage" and "spaceId" are required')
    hardware.check(call.hub.jobs_hardware, spec["flavor"], access.user.can_pay)
    job_id = identifier(f"{namespace} {now()} {len(call.hub.jobs)}")
    job = Job(call.hub, namespace, job_id, spec, labels=dict(spec.get("labels") or {}))
    call.hub.jobs[namespace, job_id] = job
    job.set_stage("SCHEDULING")
    return as_json(job.described())


def listing(call: Call, namespace: str) -> Answer:
    if not call.signed_in().belongs_to(namespace):
        raise Refused(403, f'You are not a member of "{namespace}"')
    stages, labels = call.request.query.get("stage"), call.request.query.get("label", [])
    wanted = [label.split("=", 1) for label in labels]
    found = [
        job.described()
        for (owner, _), job in reversed(call.hub.jobs.items())
        if owner == namespace
        and (stages is None or job.stage in stages)
        and all(job.labels.get(key) == value for key, value in wanted)
    ]
    return as_json(found)


def inspect(call: Call, namespace: str, job_id: str) -> Answer:
    return as_json(_found(call, namespace, job_id).described())


def logs(call: Call, namespace: str, job_id: str) -> Answer:
    job = _found(call, namespace, job_id)
    last = int(call.query("tail")) if call.query("tail") else None
    headers = {"Content-Type": "text/event-stream"}
    return Answer(events=job.log_book.follow(lambda: job.stage not in DONE, last), headers=headers)


def cancel(call: Call, namespace: str, job_id: str) -> Answer:
    _runner(call, namespace)
    job = _found(call, namespace, job_id)
    if job.stage not in DONE:
        job.set_stage("CANCELED")
    return as_json(job.described())


def set_labels(call: Call, namespace: str, job_id: str) -> Answer:
    _runner(call, namespace)
    job = _found(call, namespace, job_id)
    job.labels = call.json()["labels"]
    return as_json(job.described())


def duplicate(call: Call, namespace: str, job_id: str) -> Answer:
    access = _runner(call, namespace)
    return _started(call, access, namespace, dict(_found(call, namespace, job_id).spec))


NAMESPACE, JOB = r"(?P<namespace>[^/]+)", r"(?P<job_id>[^/]+)"
ROUTES = (
    route("POST", f"/api/jobs/{NAMESPACE}", create),
    route("GET", f"/api/jobs/{NAMESPACE}", listing),
    route("GET", f"/api/jobs/{NAMESPACE}/{JOB}", inspect),
    route("GET", f"/api/jobs/{NAMESPACE}/{JOB}/logs", logs),
    route("POST", f"/api/jobs/{NAMESPACE}/{JOB}/cancel", cancel),
    route("PUT", f"/api/jobs/{NAMESPACE}/{JOB}/labels", set_labels),
    route("POST", f"/api/jobs/{NAMESPACE}/{JOB}/duplicate", duplicate),
)
