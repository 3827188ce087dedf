"""Hugging Face Jobs as a service: they stop by themselves, and their log stays."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.cloud.report import End, read_end_line
from autotrain.cloud.service import FAILED, FINISHED, GONE, RUNNING, STARTING, STOPPED, CloudState
from autotrain.cloud.stream import POLL_SECONDS, follow_lines
from autotrain.hub.client import explained

if TYPE_CHECKING:
    from huggingface_hub import HfApi, JobInfo

_STAGES = {
    "SCHEDULING": STARTING,
    "RUNNING": RUNNING,
    "COMPLETED": FINISHED,
    "CANCELED": STOPPED,
    "ERROR": FAILED,
    "DELETED": GONE,
}
_NUM_LAST_LINES = 20


class JobService:
    """See `Service`."""

    def __init__(self, api: "HfApi", poll_seconds: float = POLL_SECONDS) -> None:
        self._api = api
        self._poll_seconds = poll_seconds

    def state(self, job_id: str) -> CloudState:
        from huggingface_hub.errors import HfHubHTTPError

        namespace, name = _parts(job_id)
        with explained(f"the Job {job_id}"):
            try:
                job = self._api.inspect_job(job_id=name, namespace=namespace)
            except HfHubHTTPError as problem:
                if problem.response.status_code == 404:
                    return CloudState(GONE, "there is no such Job (any more)", self.url(job_id))
                raise
            return self._state_of(job_id, job)

    def logs(self, job_id: str, follow: bool) -> Iterator[str]:
        if not follow:
            yield from self._lines(job_id, follow=False)
            return
        yield from follow_lines(
            lambda: self._lines(job_id, follow=True),
            lambda: self.state(job_id).is_over,
            poll_seconds=self._poll_seconds,
        )

    def stop(self, job_id: str) -> None:
        namespace, name = _parts(job_id)
        with explained(f"cancelling the Job {job_id}"):
            self._api.cancel_job(job_id=name, namespace=namespace)

    def remove(self, job_id: str) -> None:
        """The hub keeps a Job's record by itself; nothing of ours is left to delete."""

    def url(self, job_id: str) -> str:
        return f"{self._api.endpoint}/jobs/{job_id}"

    def _state_of(self, job_id: str, job: "JobInfo") -> CloudState:
        stage = _STAGES.get(job.status.stage, RUNNING)
        detail = job.status.message or ""
        if stage == FAILED:
            end = self._end(job_id)
            detail = (end.reason if end else "") or detail or "it ended without a word; its log may say why"
        return CloudState(stage, log.mask(detail), self.url(job_id))

    def _end(self, job_id: str) -> End | None:
        """What the machine's last line told."""
        namespace, name = _parts(job_id)
        lines = list(self._api.fetch_job_logs(job_id=name, namespace=namespace, tail=_NUM_LAST_LINES))
        return next((end for line in reversed(lines) if (end := read_end_line(line))), None)

    def _lines(self, job_id: str, *, follow: bool) -> Iterable[str]:
        namespace, name = _parts(job_id)
        with explained(f"the log of the Job {job_id}"):
            for chunk in self._api.fetch_job_logs(job_id=name, namespace=namespace, follow=follow):
                for line in chunk.rstrip("\r\n").split("\n"):
                    yield log.mask(line)


def _parts(job_id: str) -> tuple[str, str]:
    namespace, _, name = job_id.rpartition("/")
    return namespace, name
