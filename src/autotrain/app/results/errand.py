"""Something that takes a while and is done by a process of its own: merging, pushing.  It goes on without the page."""

import asyncio
import os
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from autotrain import log
from autotrain.backends.child import dying_with_us

MERGE, PUSH = "merge", "push"
RUNNING, DONE, FAILED = "running", "done", "failed"
_ERROR = "error: "
_NUM_KEPT_LINES = 100


class Errand:
    """lines: what it said.  problem: why it failed, in one sentence.  result: what it wrote, for a push the address."""

    def __init__(self, kind: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Begins at once, in `folder`; call it in the event loop."""
        self.kind = kind
        self.state = RUNNING
        self.started = time.time()
        self.ended: float | None = None
        self.lines: list[str] = []
        self.problem = ""
        self.result = ""
        self.is_stopped = False
        self._process: Process | None = None
        self._early: signal.Signals | None = None  # came before there was a process
        self._watchers: set[Callable[[], None]] = set()
        self._task = asyncio.get_running_loop().create_task(self._run(command, environment, folder))
        self._task.add_done_callback(self._check)

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Returns what ends the watching."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def stop(self) -> None:
        """End it; nothing is left half done."""
        self.is_stopped = True
        self._signal(signal.SIGINT)

    def close(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    async def wait(self) -> None:
        await asyncio.shield(self._task)

    async def _run(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        process = self._process = await asyncio.create_subprocess_exec(
            *dying_with_us(command),
            cwd=folder,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
        if self._early:
            self._signal(self._early)
        assert process.stdout is not None
        said, _ = await asyncio.gather(process.stdout.read(), self._listen(process))
        code = await process.wait()
        self.result = log.mask(said.decode(errors="replace").strip())
        self.ended = time.time()
        self.state = DONE if code == 0 else FAILED
        if code != 0:
            errors = [line.removeprefix(_ERROR) for line in self.lines if line.startswith(_ERROR)]
            self.problem = errors[-1] if errors else f"it ended with code {code}: {self.lines[-1] if self.lines else ''}"
        self._changed()

    async def _listen(self, process: Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            text = log.mask(line.decode(errors="replace").strip())
            self.lines = [*self.lines[-_NUM_KEPT_LINES:], text]
            self._changed()

    def _check(self, task: "asyncio.Task[None]") -> None:
        """Whatever kept the process from being started or heard, nobody waits for it."""
        if self.state == RUNNING:
            self.state, self.ended = FAILED, time.time()
            self.problem = "" if task.cancelled() else repr(task.exception())
            self._changed()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            self._early = number
        elif self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _changed(self) -> None:
        for callback in list(self._watchers):
            callback()
