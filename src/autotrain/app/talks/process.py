"""A process that holds one model, and the JSON lines that go to it and come from it."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from autotrain import log
from autotrain.app.talks.problem import TalkProblem

Event = Mapping[str, Any]
_LONGEST_LINE = 2**26  # a line of scores holds the answers too
_NUM_KEPT_LINES = 20


class ModelProcess:
    """Loads `name` when started.  Ends with this process, whatever ends that: the end of its input is its end."""

    def __init__(self, name: str, token: SecretStr | None) -> None:
        """token: of the hub, for a base model there.  A run is loaded from where it was started."""
        self.last_used = time.monotonic()
        self.has_base = False  # whether the model before training was asked, and so is in memory
        self._name, self._token = name, token
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Queue[Event]] = {}
        self._ready: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._ready.add_done_callback(lambda future: future.cancelled() or future.exception())  # may be asked by nobody
        self._said: deque[str] = deque(maxlen=_NUM_KEPT_LINES)
        self._problem: TalkProblem | None = None
        self._process: Process | None = None
        self._is_closed = False
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._ended)

    @property
    def is_alive(self) -> bool:
        return self._problem is None and not self._is_closed

    @property
    def is_busy(self) -> bool:
        return bool(self._asked) or not self._ready.done()

    @property
    def num_asked(self) -> int:
        return len(self._asked)

    async def ready(self) -> Event:
        """What it says once the model is loaded.  Raises TalkProblem if it can't be."""
        return await asyncio.shield(self._ready)

    async def ask(self, do: str, **fields: Any) -> AsyncGenerator[Event]:
        """Events of one request, the last one included.  Whoever leaves early stops it.  Raises TalkProblem."""
        number, events = next(self._numbers), asyncio.Queue[Event]()
        self._asked[number] = events
        is_sent = is_over = False
        try:
            await self.ready()
            self._send({"do": do, "id": number, **fields})
            is_sent = True
            while not is_over:
                event = await events.get()
                is_over = event["event"] != "piece"
                if event["event"] == "error":
                    raise event.get("problem") or TalkProblem("failed", reason=event["message"])
                yield event
        finally:
            self._asked.pop(number, None)
            self.last_used = time.monotonic()
            if is_sent and not is_over and self.is_alive:
                self._send({"do": "stop", "id": number})

    def close(self) -> None:
        """End it at once."""
        self._is_closed = True
        self._end(TalkProblem("put_away"))
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def _send(self, request: Mapping[str, Any]) -> None:
        if self._problem is not None:
            raise self._problem
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")

    async def _run(self) -> None:
        # -P: a `datasets.py` in the user's folder must not stand in for the library.
        command = ("-P", "-m", "autotrain.trainers.clm", "generate", "talk", json.dumps({"model": self._name}))
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "true"}
        if self._token is not None:
            environment["HF_TOKEN"] = self._token.get_secret_value()
        folder = Path(self._name)
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env=environment,
            cwd=folder.parent if folder.is_absolute() else None,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        if self._is_closed:
            process.kill()
        await asyncio.gather(self._read(process), self._listen(process))
        code = await process.wait()
        self._end(self._why(code))

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            event: Event = json.loads(line)
            number = event["id"]
            if "traceback" in event:
                log.error(f"{self._name} gave no answer, and not by a mistake of yours:\n{event['traceback']}")
            if event["event"] == "ready":
                self.last_used = time.monotonic()  # to load it may have taken longer than an idle model stays
                self._ready.set_result(event)
            elif number is None:
                self._end(TalkProblem("failed", reason=event["message"]))
            elif number in self._asked:
                self._asked[number].put_nowait(event)

    async def _listen(self, process: Process) -> None:
        """Keep the last of what it says beside its answers."""
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self._said.append(log.mask(line.decode(errors="replace").rstrip()))

    def _why(self, code: int) -> TalkProblem:
        if code == -signal.SIGKILL:
            return TalkProblem("killed")
        said = next((line for line in reversed(self._said) if line.strip()), "") or f"code {code}"
        return TalkProblem("crashed", reason=said)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Whatever kept the process from being started or heard, nobody waits for it."""
        reason = "" if task.cancelled() else repr(task.exception() or "")
        self._end(TalkProblem("crashed", reason=reason))

    def _end(self, problem: TalkProblem) -> None:
        """Tell everybody who waits, once."""
        if self._problem is not None:
            return
        self._problem = problem
        if not self._ready.done():
            self._ready.set_exception(problem)
        for events in self._asked.values():
            events.put_nowait({"event": "error", "problem": problem})
