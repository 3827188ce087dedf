"""What workers say of data: previews, amounts, splits of hub data sets.  A worker stays for the next question, and goes
when nobody asks any more."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import SecretStr

from autotrain import log
from autotrain.app.workspace import Workspace
from autotrain.backends.child import dying_with_us
from autotrain.errors import ConfigError
from autotrain.trainers.clm.params import LLMTrainingParams

IDLE_SECONDS = 240.0
ANSWER_SECONDS = 900.0
MAX_QUESTIONS = 200  # of one worker: what libraries leave behind goes with it
END_SECONDS = 5.0


class Inspector:
    """One worker, started with the first question; one question at a time."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""
        self._lock = asyncio.Lock()
        self._num_asked = 0
        self._last = time.monotonic()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    async def ask(self, token: SecretStr | None, **question: Any) -> dict[str, Any]:
        """The answer.  Raises AutoTrainError with the worker's reason.  Cancelled, it ends the worker."""
        async with self._lock:
            process = self._worker(token.get_secret_value() if token else "")
            self._num_asked += 1
            try:
                exchange = asyncio.to_thread(_exchange, process, {"id": self._num_asked, **question})
                told = await asyncio.wait_for(exchange, ANSWER_SECONDS)
            except TimeoutError:
                self.close()
                raise ConfigError("this takes too long; try a smaller data set, or train without a preview") from None
            except BaseException:
                self.close()  # somewhere in the middle of an answer
                raise
            finally:
                self._last = time.monotonic()
            if told is None:
                self.close()
                raise ConfigError(_why_it_ended(process.returncode))
            return _answer_in(told)

    def close_if_idle(self) -> None:
        if time.monotonic() - self._last > IDLE_SECONDS:
            self.close_if_free()

    def close_if_free(self) -> None:
        if self.is_running and not self._lock.locked():
            self.close()

    def close(self) -> None:
        """End the worker, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(OSError):  # what was still to be written
                    pipe.close()

    def _worker(self, token: str) -> "subprocess.Popen[bytes]":
        """In the thread of the event loop, with which the worker ends."""
        is_fit = self.is_running and token == self._token and self._num_asked < MAX_QUESTIONS
        if is_fit and self._process is not None:
            return self._process
        self.close()
        kept = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
        self._process = subprocess.Popen(
            dying_with_us((sys.executable, "-P", "-m", "autotrain.trainers.clm", "inspect", "--serve")),
            cwd=self._workspace.root,
            env={**kept, "TOKENIZERS_PARALLELISM": "true", **({"HF_TOKEN": token} if token else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._token, self._num_asked = token, 0
        return self._process


def _exchange(process: "subprocess.Popen[bytes]", question: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the worker says, in a thread of its own; None if it ended."""
    assert process.stdin and process.stdout
    try:
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
    except (OSError, ValueError):  # ended, or closed meanwhile
        line = b""
    return json.loads(line) if line else None


def _answer_in(told: Mapping[str, Any]) -> dict[str, Any]:
    if "answer" in told:
        return told["answer"]
    if told.get("unexpected"):
        log.error(f"a preview failed, and not by a mistake of yours that we know of:\n{told['problem']}")
        raise ConfigError(f"the preview failed: {told['problem'].strip().splitlines()[-1]}")
    raise ConfigError(told["problem"])


def _why_it_ended(code: int | None) -> str:
    if code == -9:
        return "the worker that reads the data was ended by the system: memory may have run out"
    return f"the worker that reads the data ended by itself (exit code {code})"


class Previews:
    """Two workers: one answers soon, the other counts whole data sets.  Neither outlives the page."""

    def __init__(self, workspace: Workspace, token: Callable[[], SecretStr | None]) -> None:
        """token: the hub's, of whoever asks."""
        self._token = token
        self._first, self._whole = Inspector(workspace), Inspector(workspace)
        self._watch: asyncio.Task[None] | None = None

    def start(self) -> None:
        """In the event loop: from now on, workers that nobody asks end."""
        self._watch = asyncio.get_running_loop().create_task(self._end_idle())

    async def _end_idle(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SECONDS / 8)
            for one in (self._first, self._whole):
                one.close_if_idle()

    async def preview(self, params: LLMTrainingParams, num_rows: int = 5) -> dict[str, Any]:
        """As `autotrain.trainers.clm.inspect.preview` says.  Raises AutoTrainError."""
        return await self._first.ask(self._token(), what="preview", params=_values(params), rows=num_rows)

    async def measure(self, params: LLMTrainingParams) -> dict[str, Any]:
        """As `autotrain.trainers.clm.inspect.amounts` says.  Raises AutoTrainError."""
        return await self._whole.ask(self._token(), what="measure", params=_values(params))

    async def splits(self, name: str) -> list[str]:
        """Of a data set on the hub.  Raises AutoTrainError."""
        return (await self._first.ask(self._token(), what="splits", name=name))["splits"]

    async def warm_up(self) -> None:
        """Have a worker ready by the time that somebody needs it."""
        if not self._first.is_running:
            await self._first.ask(self._token(), what="ready")

    def release(self) -> None:
        """Give back the memory of workers that aren't at work."""
        for one in (self._first, self._whole):
            one.close_if_free()

    def close(self) -> None:
        """End the workers."""
        if self._watch:
            self._watch.cancel()
        for one in (self._first, self._whole):
            one.close()


def _values(params: LLMTrainingParams) -> dict[str, Any]:
    return json.loads(params.to_json())
