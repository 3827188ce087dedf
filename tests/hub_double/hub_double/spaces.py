"""Spaces: hardware, secrets, variables, sleep, stages, logs. Nothing runs in them; the tests say what happens there."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hub_double import hardware
from hub_double.access import readable, require, writable
from hub_double.cards import front_matter, space_errors
from hub_double.discussions import Discussion
from hub_double.protocol import REPO, Answer, Call, Refused, as_json, now, route
from hub_double.streams import LogBook

if TYPE_CHECKING:
    from hub_double.double import HubDouble

ALIVE = frozenset({"BUILDING", "RUNNING_BUILDING", "APP_STARTING", "RUNNING_APP_STARTING", "RUNNING"})
STAGES = ALIVE | {"NO_APP_FILE", "CONFIG_ERROR", "BUILD_ERROR", "RUNTIME_ERROR", "DELETING", "STOPPED", "PAUSED", "SLEEPING"}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Space:
    """secrets, variables: name -> value. sleep_time: seconds, None: the hub's own. hardware: requested; current_hardware:
    what it runs on. app_log, build_log: what it has printed."""

    hub: "HubDouble"
    id: str
    hardware: str = "cpu-basic"
    current_hardware: str | None = None
    sleep_time: int | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    stage: str = "NO_APP_FILE"
    stages: list[str] = field(default_factory=list)
    error: str | None = None
    restarts: int = 0

    def __post_init__(self) -> None:
        self.app_log, self.build_log = LogBook(self.hub), LogBook(self.hub)

    @property
    def logs(self) -> list[str]:
        return self.app_log.lines

    def log(self, text: str, build: bool = False) -> None:
        """A line (or several) that the Space prints."""
        (self.build_log if build else self.app_log).add(text)

    @property
    def files(self) -> dict[str, bytes]:
        return self.hub.files("space", self.id)

    @property
    def discussions(self) -> list[Discussion]:
        return self.hub.discussions("space", self.id)

    @property
    def private(self) -> bool:
        return self.hub.repositories["space", self.id].private

    @property
    def host(self) -> str:
        return re.sub(r"[^a-z0-9-]", "-", self.id.lower()) + ".hf.space"

    def set_stage(self, stage: str, error: str | None = None) -> None:
        if stage not in STAGES:
            raise ValueError(f"no stage {stage}; known: {sorted(STAGES)}")
        with self.hub.changed:
            self.stage, self.error = stage, error
            self.stages.append(stage)
            self.current_hardware = self.hardware if stage.startswith("RUNNING") else self.current_hardware
            self.hub.changed.notify_all()

    def wait_for_stage(self, stage: str, seconds: float = 60) -> bool:
        """Waits until it gets there; False where it does not in time."""
        with self.hub.changed:
            return self.hub.changed.wait_for(lambda: self.stage == stage, seconds)

    def environment(self) -> dict[str, str]:
        """The variables that a process in this Space sees, beyond those of its image."""
        author, name = self.id.split("/")
        given = {
            "SPACE_ID": self.id,
            "SPACE_AUTHOR_NAME": author,
            "SPACE_REPO_NAME": name,
            "SPACE_TITLE": name,
            "SPACE_HOST": self.host,
            "CPU_CORES": "2",
            "MEMORY": "16Gi",
        }
        matter = front_matter(self.files.get("README.md", b"").decode())
        if matter.get("hf_oauth"):
            given |= {
                "OAUTH_CLIENT_ID": f"client-of-{author}-{name}",
                "OAUTH_CLIENT_SECRET": f"secret-of-{author}-{name}",
                "OAUTH_SCOPES": " ".join(["openid", "profile", *(matter.get("hf_oauth_scopes") or [])]),
                "OPENID_PROVIDER_URL": self.hub.url,
            }
        return {**given, **self.variables, **self.secrets}

    def rebuild(self) -> None:
        """After a commit, a restart, a new secret or variable. A paused Space stays paused until it is restarted."""
        if self.stage == "PAUSED":
            return
        files = self.files
        matter = front_matter(files.get("README.md", b"").decode())
        errors = space_errors(matter)
        if set(self.secrets) & set(self.variables):
            errors.append("Collision on variables and secrets names")
        starts = {"docker": "Dockerfile", "static": "index.html"}.get(
            str(matter.get("sdk")), str(matter.get("app_file") or "app.py")
        )
        if errors:
            self.set_stage("CONFIG_ERROR", errors[0])
        else:
            self.set_stage("BUILDING" if starts in files else "NO_APP_FILE")

    def runtime(self) -> dict[str, Any]:
        described: dict[str, Any] = {
            "stage": self.stage,
            "hardware": {"current": self.current_hardware, "requested": self.hardware},
            "storage": None,
            "gcTimeout": self.sleep_time,
            "replicas": {"current": 1, "requested": 1},
            "devMode": False,
            "domains": [{"domain": self.host, "stage": "READY"}],
            "volumes": self.volumes or None,
        }
        return described | ({"errorMessage": self.error} if self.error else {})


class Spaces(dict[str, Space]):
    """By their id."""

    def __init__(self, hub: "HubDouble") -> None:
        super().__init__()
        self.hub = hub

    def check(self, call: Call, payload: dict[str, Any]) -> None:
        """Raises Refused for a Space that can't be made as asked."""
        if payload.get("sdk") not in ("gradio", "docker", "static"):
            raise Refused(400, '"sdk" must be one of [gradio, docker, static]')
        hardware.check(self.hub.spaces_hardware, payload.get("hardware") or "cpu-basic", call.signed_in().user.can_pay)
        for each in [*(payload.get("secrets") or []), *(payload.get("variables") or [])]:
            _check_name(each["key"])

    def create(self, repo_id: str, payload: dict[str, Any]) -> None:
        space = Space(
            self.hub,
            repo_id,
            hardware=payload.get("hardware") or "cpu-basic",
            sleep_time=payload.get("sleepTimeSeconds"),
            secrets={each["key"]: each["value"] for each in payload.get("secrets") or []},
            variables={each["key"]: each["value"] for each in payload.get("variables") or []},
            volumes=payload.get("volumes") or [],
        )
        self[repo_id] = space
        space.rebuild()


def _check_name(name: str) -> None:
    if not VARIABLE.fullmatch(name):
        raise Refused(400, f'"key" with value "{name}" fails to match the required pattern: {VARIABLE.pattern}')


def _owned(call: Call, repo_id: str) -> Space:
    repository, access = writable(call, "space", repo_id)
    require(access, "repo.write", repository.namespace, "manage this Space")
    return call.hub.spaces[repo_id]


def runtime(call: Call, repo_id: str) -> Answer:
    readable(call, "space", repo_id)
    return as_json(call.hub.spaces[repo_id].runtime())


def logs(call: Call, repo_id: str, log: str) -> Answer:
    space = _owned(call, repo_id)
    book = space.build_log if log == "build" else space.app_log
    headers = {"Content-Type": "text/event-stream"}
    return Answer(events=book.follow(lambda: space.stage in ALIVE), headers=headers)


def add_value(call: Call, repo_id: str, what: str) -> Answer:
    space, payload = _owned(call, repo_id), call.json()
    _check_name(payload["key"])
    (space.secrets if what == "secrets" else space.variables)[payload["key"]] = payload["value"]
    space.rebuild()
    return _values(space, what)


def delete_value(call: Call, repo_id: str, what: str) -> Answer:
    space, key = _owned(call, repo_id), call.json()["key"]
    values = space.secrets if what == "secrets" else space.variables
    if values.pop(key, None) is None:
        raise Refused(404, f"No such key: {key}")
    space.rebuild()
    return _values(space, what)


def get_values(call: Call, repo_id: str, what: str) -> Answer:
    return _values(_owned(call, repo_id), what)


def _values(space: Space, what: str) -> Answer:
    if what == "secrets":
        return as_json({key: {"key": key, "updatedAt": now()} for key in space.secrets})
    return as_json({key: {"key": key, "value": value, "updatedAt": now()} for key, value in space.variables.items()})


def request_hardware(call: Call, repo_id: str) -> Answer:
    space, payload = _owned(call, repo_id), call.json()
    hardware.check(call.hub.spaces_hardware, payload["flavor"], call.signed_in().user.can_pay)
    space.hardware = payload["flavor"]
    space.sleep_time = payload.get("sleepTimeSeconds", space.sleep_time)
    space.rebuild()
    return as_json(space.runtime())


def sleep_time(call: Call, repo_id: str) -> Answer:
    space = _owned(call, repo_id)
    if space.hardware == "cpu-basic":
        raise Refused(400, "Sleep time of cpu-basic hardware can't be set")
    space.sleep_time = call.json()["seconds"]
    return as_json(space.runtime())


def pause(call: Call, repo_id: str) -> Answer:
    space = _owned(call, repo_id)
    if call.hub.repositories["space", repo_id].sdk == "static":
        raise Refused(400, "Static Spaces can't be paused")
    space.set_stage("PAUSED")
    return as_json(space.runtime())


def restart(call: Call, repo_id: str) -> Answer:
    space = _owned(call, repo_id)
    space.restarts += 1
    space.stage = "STOPPED"
    space.rebuild()
    return as_json(space.runtime())


def set_volumes(call: Call, repo_id: str) -> Answer:
    space = _owned(call, repo_id)
    space.volumes = call.json()["volumes"] if call.request.method == "PUT" else []
    space.rebuild()
    return as_json(space.runtime())


WHAT = "(?P<what>secrets|variables)"
ROUTES = (
    route("GET", f"/api/spaces/{REPO}/runtime", runtime),
    route("GET", f"/api/spaces/{REPO}/logs/(?P<log>run|build)", logs),
    route("GET", f"/api/spaces/{REPO}/{WHAT}", get_values),
    route("POST", f"/api/spaces/{REPO}/{WHAT}", add_value),
    route("DELETE", f"/api/spaces/{REPO}/{WHAT}", delete_value),
    route("POST", f"/api/spaces/{REPO}/hardware", request_hardware),
    route("POST", f"/api/spaces/{REPO}/sleeptime", sleep_time),
    route("POST", f"/api/spaces/{REPO}/pause", pause),
    route("POST", f"/api/spaces/{REPO}/restart", restart),
    route("PUT", f"/api/spaces/{REPO}/volumes", set_volumes),
    route("DELETE", f"/api/spaces/{REPO}/volumes", set_volumes),
)
