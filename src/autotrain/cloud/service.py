"""What runs in the cloud, looked at from here: where it stands, its log, and ending it.

A job's id names its owner too: `user/autotrain-project` for a Space, `user/0123abcd` for a Job.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from autotrain.cloud.hardware import is_space

STARTING, RUNNING, FINISHED, FAILED, STOPPED, GONE = "starting", "running", "finished", "failed", "stopped", "gone"
UNDER_WAY = (STARTING, RUNNING)


@dataclass(frozen=True)
class CloudState:
    """stage: starting, running, finished, failed, stopped or gone.  detail: why, or "".  url: its page on the hub.

    is_on: the run has told its end, and its machine isn't off yet.
    """

    stage: str
    detail: str
    url: str
    is_on: bool = False

    @property
    def is_over(self) -> bool:
        return self.stage not in UNDER_WAY

    @property
    def is_off(self) -> bool:
        """Whether it costs nothing any more."""
        return self.is_over and not self.is_on


class Service(Protocol):
    """Spaces, or Jobs.  Each call raises HubError if the hub refuses or can't be reached."""

    def state(self, job_id: str) -> CloudState:
        """Where it stands; `gone` if there is no such thing (any more)."""
        ...

    def logs(self, job_id: str, follow: bool) -> Iterator[str]:
        """Lines of its log without line ends, secrets masked; with `follow` until the run is over."""
        ...

    def stop(self, job_id: str) -> None:
        """End it, and what it costs."""
        ...

    def remove(self, job_id: str) -> None:
        """Delete what was made to run it, if anything stays; the model and the data set are kept."""
        ...


def open_service(backend: str, token: str | None) -> Service:
    """The service that runs `backend`, a name such as spaces-t4-small or jobs-h200.

    Raises HubError without a token: neither the option's, nor HF_TOKEN, nor one of a login.
    """
    from autotrain.hub.client import open_api

    api = open_api(token)
    if is_space(backend):
        from autotrain.cloud.space_service import SpaceService

        return SpaceService(api)
    from autotrain.cloud.job_service import JobService

    return JobService(api)
