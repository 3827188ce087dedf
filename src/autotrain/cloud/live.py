"""Runs in the cloud: the services are asked, and what they say is kept in the registry.

token: the hub's; without one, this machine's.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pydantic import SecretStr

from autotrain.cloud.follow import Followed, follow
from autotrain.cloud.report import read_end_line
from autotrain.cloud.service import Service, open_service
from autotrain.errors import AutoTrainError
from autotrain.hub.client import token_of
from autotrain.runs import CloudJob, Entry, Run, Seen, look_at, note_seen
from autotrain.runs.registry import ENDED
from autotrain.runs.stages import UNKNOWN

# As the worker writes it: step 12/62  loss 1.8299 ...
_STEP = re.compile(r"\bstep (\d+)/(\d+)\s+loss (\d+\.\d+)")
_NUM_AT_ONCE = 4


def ask_those_that_may_go_on(runs: Sequence[Run]) -> list[Run]:
    """The same runs; those in the cloud that haven't ended, as far as is known, are asked for."""
    asked = [one for one in runs if one.entry.cloud and one.stage not in ENDED]
    with ThreadPoolExecutor(_NUM_AT_ONCE) as pool:
        answers = dict(zip((one.entry.id for one in asked), pool.map(lambda one: ask(one.entry), asked), strict=True))
    return [answers.get(one.entry.id, one) for one in runs]


def ask(entry: Entry, token: SecretStr | None = None) -> Run:
    """Where a run stands, as its service says; what was last heard, with stage unknown, if it can't be asked."""
    before = look_at(entry)
    cloud = _cloud(entry)
    try:
        service = _service(entry, token)
        state = service.state(cloud.job_id)
        step, total_steps, loss = _progress(service, cloud, state.stage, state.detail)
    except AutoTrainError as problem:
        return Run(entry, UNKNOWN, before.step, before.total_steps, before.loss, str(problem))
    seen = Seen(state.stage, state.detail, step, total_steps, loss)
    note_seen(entry.id, seen)
    return Run(entry, seen.stage, seen.step, seen.total_steps, seen.loss, seen.detail)


def lines_of(entry: Entry, last: int | None, token: SecretStr | None = None) -> Iterator[str]:
    """The log of a run, or its `last` lines.  Raises HubError."""
    lines = _service(entry, token).logs(_cloud(entry).job_id, False)
    for line in lines if last is None else deque(lines, maxlen=last):
        end = read_end_line(line)
        yield " ".join(filter(None, (f"{end.stage}:" if end.reason else end.stage, end.reason, end.url))) if end else line


def follow_to_end(entry: Entry) -> Followed:
    """Write the log of a run as it comes, until it is over, and see to it that it then costs nothing any more."""
    followed = follow(_service(entry), _cloud(entry).job_id, str(entry.id))
    ask(entry)
    return followed


def stop(entry: Entry, token: SecretStr | None = None) -> Run:
    """Stop a run in the cloud; where it stands then.  Raises HubError."""
    _service(entry, token).stop(_cloud(entry).job_id)
    return ask(entry, token)


def remove(entry: Entry, token: SecretStr | None = None) -> None:
    """Delete what a run left in the cloud, but not its result.  Raises HubError."""
    _service(entry, token).remove(_cloud(entry).job_id)


def _service(entry: Entry, token: SecretStr | None = None) -> Service:
    return open_service(entry.backend, token_of(token))


def _cloud(entry: Entry) -> CloudJob:
    assert entry.cloud is not None
    return entry.cloud


def _progress(service: Service, cloud: CloudJob, stage: str, detail: str) -> tuple[int, int, float | None]:
    """Step, number of steps and last loss: from `detail`, else from the log, else as last heard."""
    before = cloud.seen or Seen(UNKNOWN)
    found = _last_step([detail])
    if found is None and stage not in ("starting", "gone") and before.stage not in ENDED:
        try:
            found = _last_step(service.logs(cloud.job_id, False))
        except AutoTrainError:
            found = None  # a log that can't be had says nothing about where the run stands
    return found or (before.step, before.total_steps, before.loss)


def _last_step(lines: Iterable[str]) -> tuple[int, int, float] | None:
    steps: Iterator[re.Match[str]] = (match for line in lines for match in _STEP.finditer(line))
    last = deque(steps, maxlen=1)
    return (int(last[0][1]), int(last[0][2]), float(last[0][3])) if last else None
