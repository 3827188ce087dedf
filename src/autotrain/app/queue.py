"""The jobs queue, and all that changes runs: as many at once as the machine holds, the rest wait in order.

The registry holds the queue, so it is the same after a restart.  Tokens are held in memory only: a run that waited over a
restart gets the token that the page has then.
"""

import asyncio
import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from autotrain import log
from autotrain.app.cloud_watch import CloudWatch
from autotrain.app.inside import check_inside, check_links
from autotrain.app.launching import Busy, in_background, is_local, job_of, launch
from autotrain.app.stopping import Stopping
from autotrain.app.workspace import Workspace
from autotrain.cloud.live import ask
from autotrain.cloud.live import remove as remove_in_cloud
from autotrain.errors import ConfigError, RunFolderError
from autotrain.project import prepare
from autotrain.runs import Entry, Run, look_at
from autotrain.runs.parameters import parameters_to_resume, raw_parameters
from autotrain.runs.registry import entries, get, note
from autotrain.runs.removal import check_removable, remove_entry, remove_folder
from autotrain.runs.stages import RESUMABLE
from autotrain.runs.waiting import NOBODY, claim, enqueue, give_back, take_out, take_out_unless_begun, waiting
from autotrain.trainers.clm.params import LLMTrainingParams

_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
MAX_NOTE = 2_000


@dataclass(frozen=True)
class _Asked:
    """A run that is to be put into the queue."""

    params: LLMTrainingParams
    backend: str
    place: Path
    resume: bool
    overwrite: bool


class Queue:
    """Runs that were asked for.  Submitting, stopping and the like are the same for the page and the API."""

    def __init__(
        self,
        workspace: Workspace,
        capacity: int,
        token: Callable[[], SecretStr | None],
        offered_models: Collection[str] = (),
    ) -> None:
        """token: the hub's, of whoever asks.  offered_models: may be used wherever they lie."""
        self._workspace, self._capacity, self._token = workspace, capacity, token
        self._offered_models = frozenset(offered_models)
        self._tokens: dict[int, SecretStr] = {}
        self._with_token = threading.Lock()  # a run is in the queue, and its token in memory
        self._cloud = CloudWatch(self.token_for)
        self._stopping = Stopping()
        self._busy = Busy()
        self._wake, self._is_closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._starts: list[threading.Thread] = []  # of runs in the cloud

    def start(self) -> None:
        """Begin with what waits."""
        self._thread = threading.Thread(target=self._work, name="queue", daemon=True)
        self._thread.start()
        self._cloud.start()

    def close(self) -> None:
        """Start nothing more.  Runs go on, and what waits, waits.  What is being started has a few seconds."""
        self._is_closed.set()
        self._wake.set()
        self._cloud.close()
        end = time.monotonic() + _CLOSE_SECONDS
        if self._thread:
            self._thread.join(_CLOSE_SECONDS)
        for thread in self._starts:
            thread.join(max(0.0, end - time.monotonic()))

    def submit(
        self,
        params: LLMTrainingParams,
        backend: str,
        *,
        resume: bool = False,
        overwrite: bool = False,
        token: SecretStr | None = None,
        allowed_paths: Collection[str] = (),
    ) -> int:
        """Check all that can be checked now, and put the run into the queue.  Returns its number, which it keeps.

        token: the hub's, for this run; else the one in `params`, or that of whoever asks.
        allowed_paths: may be named though they lie outside the workspace.  Raises UserErrors.
        """
        check_inside(params, self._workspace, {*self._offered_models, *allowed_paths})
        asked = _Asked(params, backend, self._workspace.root, resume, overwrite)
        return self._put(asked, token)

    def cancel(self, number: int) -> None:
        """Take a run out of the queue.  Raises RunFolderError if it doesn't wait (any more)."""
        if not take_out(number):
            raise RunFolderError(f"run {number} doesn't wait any more")
        self._tokens.pop(number, None)

    def waiting(self) -> list[int]:
        """Numbers of the runs that wait, the next one first."""
        return [one.id for one in waiting()]

    def is_stopping(self, number: int) -> bool:
        """Whether it was told to stop, and hasn't yet."""
        return self._stopping.has(number)

    def token_for(self, number: int) -> SecretStr | None:
        """The run's own, of who asked for it; else that of whoever asks now."""
        return self._tokens.get(number) or self._token()

    async def stop(self, number: int, *, now: bool = False) -> None:
        """Take a waiting run out; let a running one save and leave, and end its whole process tree; in the cloud too.

        Returns when it has ended, or after a second: `is_stopping` says that it still saves.  now: without saving.
        One that isn't running stays as it is.  Raises AutoTrainError.
        """
        entry = await asyncio.to_thread(lambda: take_out_unless_begun(get(number)))
        if entry is None:
            self._tokens.pop(number, None)
        elif entry.cloud or (await asyncio.to_thread(look_at, entry)).is_live:
            await self._stopping.stop(entry, self.token_for(number), now=now)

    async def resume(self, number: int, *, token: SecretStr | None = None) -> int:
        """Go on with a run from its last checkpoint, as it was started, when its turn comes; returns its number.

        Raises UserErrors.
        """
        return await asyncio.to_thread(self._resume, number, token or self.token_for(number))

    async def remove(self, number: int, *, with_folder: bool) -> None:
        """Take a run out of the list.  with_folder: and delete its folder with model and checkpoints, or what it left in the
        cloud but its result.  Raises AutoTrainError, if it is live for one.
        """
        entry = await asyncio.to_thread(get, number)
        if with_folder and not entry.cloud and not self._workspace.holds(entry.folder):
            raise RunFolderError(
                f"{entry.name} lies outside this workspace, in {entry.folder}: take it out of the list only, or use "
                f"autotrain runs rm --folder {number}"
            )
        await asyncio.to_thread(_remove, entry, with_folder, self.token_for(number))

    async def note(self, number: int, text: str) -> None:
        """Keep the user's own words about a run."""
        if len(text) > MAX_NOTE:
            raise ConfigError(f"a note has at most {MAX_NOTE:,} characters (this has {len(text):,})")
        await asyncio.to_thread(note, (await asyncio.to_thread(get, number)).id, log.mask(text.strip()))

    def _resume(self, number: int, token: SecretStr | None) -> int:
        run = _now(get(number), token)
        entry = run.entry
        if run.stage not in RESUMABLE:
            raise RunFolderError(f"{entry.name} is {run.stage}: there is nothing to resume")
        if entry.queued:  # taken out of the queue, or refused: it never began
            params, is_begun = LLMTrainingParams(**raw_parameters(entry)), False
        else:
            params, is_begun = parameters_to_resume(entry), True
        asked = _Asked(params, entry.backend, entry.folder.parent, resume=is_begun, overwrite=False)
        return self._put(asked, token)

    def _put(self, asked: _Asked, token: SecretStr | None) -> int:
        params = asked.params
        token = token or params.token or self._token()
        if token:
            log.hide_secret(token.get_secret_value())
        params = params.model_copy(update={"token": None}) if params.token else params
        options: Mapping[str, bool] = {"resume": asked.resume, "overwrite": asked.overwrite}
        backend = in_background(asked.backend)
        folder = asked.place / params.project_name
        before = _idle(folder) if is_local(backend) else None
        if is_local(backend):
            check_links(folder, self._workspace)
        prepare(job_of(params, backend, asked.place, token, **options), backend)
        with self._with_token:  # or it begins at once with no token, or with another's
            number = enqueue(params.project_name, folder, backend, params.to_json(), **options, before=before)
            self._tokens.pop(number, None)
            if token:
                self._tokens[number] = token
        self._stopping.forget(number)
        self._wake.set()
        return number

    def _work(self) -> None:
        """The thread: starts what may start, until the queue is closed."""
        while not self._is_closed.is_set():
            self._wake.clear()
            try:
                self._start_what_may()
            except RunFolderError as problem:
                log.notice(str(problem))
            except Exception:  # noqa: BLE001  the outermost frame of the thread: the others still wait for their turn
                log.error(f"the queue stumbled:\n{traceback.format_exc()}")
            self._wake.wait(_POLL_SECONDS)

    def _start_what_may(self) -> None:
        known = entries()
        give_back(known)
        free = self._capacity - self._busy.count(known)
        for entry in waiting(known):
            if is_local(entry.backend):
                if free <= 0:
                    continue
                free -= 1
            if claim(entry):
                self._launch(entry)

    def _launch(self, entry: Entry) -> None:
        """A local run starts at once; one in the cloud has something to upload, and keeps nobody waiting."""
        with self._with_token:
            token = self.token_for(entry.id)
            if is_local(entry.backend):
                self._tokens.pop(entry.id, None)
        if is_local(entry.backend):
            launch(entry, token)
        else:
            start = threading.Thread(target=launch, args=(entry, token), name=f"start-{entry.id}", daemon=True)
            start.start()
            self._starts = [*(one for one in self._starts if one.is_alive()), start]


def _now(entry: Entry, token: SecretStr | None) -> Run:
    return ask(entry, token) if entry.cloud else look_at(entry)


def _idle(folder: Path) -> tuple[int, str]:
    """Process and birth of the registered run in `folder`, which has ended or waits; NOBODY if there is none.

    Raises RunFolderError if it goes on: it may not have reached its folder yet.
    """
    for entry in entries():
        if entry.folder != folder.absolute() or entry.cloud:
            continue
        if not entry.queued and look_at(entry).is_live:
            raise RunFolderError(f"project_name: the run {entry.name} goes on; stop it first, or choose another name")
        return entry.pid, entry.born
    return NOBODY


def _remove(entry: Entry, with_folder: bool, token: SecretStr | None) -> None:
    if _now(entry, token).is_live:
        raise RunFolderError(f"{entry.name} is running or waits; stop it first")
    if with_folder and entry.cloud:
        remove_in_cloud(entry, token)
    elif with_folder and not entry.queued and entry.folder.exists():
        check_removable(entry.folder)
        remove_folder(entry.folder)
    remove_entry(entry)
