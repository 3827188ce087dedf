"""Spaces as a service: a run is a Space, and a discussion on it tells how it ended."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from autotrain import log
from autotrain.cloud import environment
from autotrain.cloud.report import End, read_discussion_reason, read_discussion_title, read_end_line
from autotrain.cloud.service import FAILED, GONE, RUNNING, STARTING, STOPPED, CloudState
from autotrain.cloud.stream import POLL_SECONDS, follow_lines
from autotrain.errors import HubError
from autotrain.hub.client import explained

if TYPE_CHECKING:
    from huggingface_hub import HfApi, SpaceRuntime

_STARTING = ("BUILDING", "APP_STARTING", "RUNNING_BUILDING", "RUNNING_APP_STARTING", "NO_APP_FILE")
_BROKEN = {
    "BUILD_ERROR": "its image couldn't be built",
    "CONFIG_ERROR": "its configuration is wrong",
    "RUNTIME_ERROR": "its program ended with an error",
}


class SpaceService:
    """See `Service`."""

    def __init__(self, api: "HfApi", poll_seconds: float = POLL_SECONDS) -> None:
        self._api = api
        self._poll_seconds = poll_seconds

    def state(self, job_id: str) -> CloudState:
        from huggingface_hub.errors import HfHubHTTPError

        url = self.url(job_id)
        with explained(f"the Space {job_id}"):
            try:
                runtime = self._api.get_space_runtime(job_id)
            except HfHubHTTPError as problem:
                if problem.response.status_code == 404:
                    return CloudState(GONE, "there is no such Space (any more)", url)
                raise
            return self._state_of(job_id, runtime, url)

    def logs(self, job_id: str, follow: bool) -> Iterator[str]:
        if not follow:
            yield from self._lines(job_id, build=self.state(job_id).stage == STARTING, follow=False)
            return
        if self.state(job_id).stage == STARTING:
            yield from follow_lines(
                lambda: self._lines(job_id, build=True, follow=True),
                lambda: self.state(job_id).stage != STARTING,
                poll_seconds=self._poll_seconds,
            )
        yield from follow_lines(
            lambda: self._lines(job_id, build=False, follow=True),
            lambda: self.state(job_id).is_over,
            poll_seconds=self._poll_seconds,
        )

    def stop(self, job_id: str) -> None:
        with explained(f"pausing the Space {job_id}"):
            self._api.pause_space(job_id)

    def remove(self, job_id: str) -> None:
        with explained(f"deleting the Space {job_id}"):
            self._api.delete_repo(job_id, repo_type="space", missing_ok=True)

    def url(self, job_id: str) -> str:
        return f"{self._api.endpoint}/spaces/{job_id}"

    def _state_of(self, job_id: str, runtime: "SpaceRuntime", url: str) -> CloudState:
        stage = str(runtime.raw.get("stage"))
        if stage in _STARTING:
            return CloudState(STARTING, stage.lower().replace("_", " "), url)
        if stage == "DELETING":
            return CloudState(GONE, "the Space is being deleted", url)
        if stage in ("BUILD_ERROR", "CONFIG_ERROR"):
            return CloudState(FAILED, self._what_broke(stage, runtime), url)
        variable = self._api.get_space_variables(job_id).get(environment.RUN)
        run = variable.value if variable else ""
        told = self._told(job_id, run) if run else None
        if told:
            return CloudState(*told, url, is_on=stage == "RUNNING")
        if stage == "RUNTIME_ERROR":
            return CloudState(FAILED, self._what_broke(stage, runtime), url)
        if stage == "RUNNING":
            return CloudState(RUNNING, "", url)
        end = self._end(job_id, run) if run else None
        if end:
            return CloudState(end.stage, log.mask(end.reason), url)
        return CloudState(STOPPED, f"the Space is {stage.lower()}", url)

    def _what_broke(self, stage: str, runtime: "SpaceRuntime") -> str:
        message = str(runtime.raw.get("errorMessage") or "")
        return _BROKEN[stage] + (f": {log.mask(message)}" if message else "; its log says why")

    def _told(self, job_id: str, run: str) -> tuple[str, str] | None:
        """Stage and reason that a discussion tells of the run with the id `run`, or None."""
        for discussion in self._api.get_repo_discussions(job_id, repo_type="space"):
            stage = read_discussion_title(discussion.title, run)
            if stage:
                details = self._api.get_discussion_details(job_id, discussion.num, repo_type="space")
                texts = [text for event in details.events if (text := getattr(event, "content", None))]
                return stage, read_discussion_reason(texts[0]) if texts else ""
        return None

    def _end(self, job_id: str, run: str) -> End | None:
        """What the log's last line tells of `run`, for where no discussion could be opened; None without such a log."""
        try:
            last = deque(self._lines(job_id, build=False, follow=False), maxlen=1)
        except HubError:
            return None
        return read_end_line(last[0], run) if last else None

    def _lines(self, job_id: str, *, build: bool, follow: bool) -> Iterable[str]:
        with explained(f"the log of the Space {job_id}"):
            for chunk in self._api.fetch_space_logs(job_id, build=build, follow=follow):
                for line in chunk.rstrip("\r\n").split("\n"):
                    yield log.mask(line)
