"""The driver of a run on a Ray cluster: it starts the workers, and is to the user what one process would be.

What they say is said here, their files come into the run folder here, signals go to them from here, and the exit code and
the reason are those of the worker that failed first.
"""

import argparse
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, TextIO

from autotrain import log
from autotrain.errors import REASON_FILE_VARIABLE, Interrupted, TrainingError
from autotrain.run_folder import RunFolder, check_free, claim, is_run
from autotrain.trainers.clm.cluster.conduct import Crew, conduct
from autotrain.trainers.clm.cluster.connect import check_room, choose_crew, connected, travelling
from autotrain.trainers.clm.cluster.desk import Away, Began, Desk, Ended, News, Said
from autotrain.trainers.clm.cluster.errand import Errand
from autotrain.trainers.clm.cluster.files import Piece, all_pieces, apply
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.training.ending import Ending, first_cause

_LOOK_SECONDS = 0.2
# What the workers get to save and leave once a signal has come.
_SHUTDOWN_SECONDS = 150.0
_MAX_UNFETCHED = 16


def main(arguments: Sequence[str]) -> int:
    """Run `train ...` on a Ray cluster; returns the exit code."""
    from autotrain.trainers.clm.__main__ import read_params

    parser = argparse.ArgumentParser(prog="python -m autotrain.trainers.clm ray", allow_abbrev=False, add_help=False)
    parser.add_argument("entry", choices=("train",))
    parser.add_argument("--training_config", required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(arguments)
    params = read_params(Path(options.training_config))
    check_free(Path(params.project_name), resume=options.resume, overwrite=options.overwrite)
    with Signals() as signals:
        code, reason, is_said = _run(params, options, signals)
    if reason:
        if not is_said:
            log.error(reason)
        file = os.environ.get(REASON_FILE_VARIABLE)
        if file:
            Path(file).write_text(log.mask(reason), encoding="utf-8")
    return code


def _run(params: LLMTrainingParams, options: argparse.Namespace, signals: "Signals") -> tuple[int, str, bool]:
    """Exit code, why it isn't 0, and whether a worker said so already."""
    address = params.ray_address or os.environ.get("RAY_ADDRESS") or None
    resources, variables = params.resources_of_worker, travelling(os.environ)
    if address is None:
        resources = {"CPU": max(1, len(os.sched_getaffinity(0)) // (params.devices or 1)), **resources}
    own = None if address else choose_crew(params.devices, resources, params.max_restarts, {})
    streams = (sys.stdout, sys.stderr)
    log.info(f"connecting to the Ray cluster at {address}" if address else "starting Ray on this machine")
    with ExitStack() as stack:
        ray = stack.enter_context(connected(address, own))
        signals.catch()  # Ray has put handlers of its own in their place
        room: dict[str, float] = ray.cluster_resources()
        crew = choose_crew(params.devices, resources, params.max_restarts, room)
        check_room(crew, room, may_grow=address is not None)
        desk = ray.remote(num_cpus=0)(Desk).remote()
        ray.get(desk.keep_variables.remote(variables))
        errand = stack.enter_context(_errand(params, options, desk))
        work = ray.remote(num_cpus=0, max_retries=0)(conduct).remote(errand, crew)
        follower = Follower(ray, desk, work, errand, streams, overwrites=options.overwrite)
        stack.callback(follower.release)
        failures = follower.follow(signals.asked)
    return outcome(follower.endings, failures, signals.asked, crew)


@contextmanager
def _errand(params: LLMTrainingParams, options: argparse.Namespace, desk: Any) -> Generator[Errand]:
    place, word = Path.cwd(), secrets.token_hex(16)
    with tempfile.NamedTemporaryFile("w", dir=place, prefix=".autotrain-", encoding="ascii") as probe:
        probe.write(word)
        probe.flush()
        yield Errand(
            secrets.token_hex(8),
            params.project_name,
            params.to_json(),
            tuple(f"--{name}" for name in ("resume", "overwrite") if getattr(options, name)),
            place,
            (Path(probe.name), word),
            Path(params.ray_storage) if params.ray_storage else None,
            local_paths(params),
            params.max_restarts,
            desk,
        )


def local_paths(params: LLMTrainingParams) -> dict[str, str]:
    """Key of the config -> path of what is read from this machine's disks."""
    named = {
        "data.path": params.data_path,
        "data.valid_split": params.valid_split if "/" in (params.valid_split or "") else None,
        "base_model": params.model,
        "params.model_ref": params.model_ref,
        "data.chat_template": params.chat_template,
    }
    return {key: path for key, path in named.items() if path and Path(path).exists()}


class Follower:
    """Takes what comes from the workers until they have ended.  endings: of each start.

    streams: where their standard output and error go.
    """

    def __init__(
        self, ray: Any, desk: Any, work: Any, errand: Errand, streams: tuple[TextIO, TextIO], *, overwrites: bool
    ) -> None:
        self._ray, self._desk, self._work, self._errand = ray, desk, work, errand
        self._folder = Path(errand.project)
        self._streams = streams
        self._overwrites = overwrites
        self._run: RunFolder | None = None
        self._sending: Generator[Piece] | None = None
        self.endings: dict[int, list[Ending]] = {}

    def follow(self, asked: list[int]) -> dict[int, str]:
        """Returns what Ray knows about workers that failed.  Raises Interrupted before the first has begun."""
        told_at: float | None = None
        while True:
            done, _ = self._ray.wait([self._work], timeout=_LOOK_SECONDS)
            self._take()
            if done:
                return self._result()
            if asked and told_at is None:
                told_at = time.monotonic()
                if not self._ray.get(self._desk.ask.remote(asked[0])):
                    raise Interrupted("interrupted before training began", asked[0])
            if told_at is not None and time.monotonic() - told_at > _SHUTDOWN_SECONDS:
                return {-1: "the workers didn't end in time"}

    def release(self) -> None:
        if self._run is not None:
            self._run.release()

    def _result(self) -> dict[int, str]:
        try:
            failures: dict[int, str] = self._ray.get(self._work)
        except self._ray.exceptions.RayError as error:
            lines = str(error).strip().splitlines()
            return {-1: f"{type(error).__name__}: {lines[-1] if lines else ''}"}
        self._take()
        return failures

    def _take(self) -> None:
        try:
            news, is_wanted = self._ray.get(self._desk.take.remote())
        except self._ray.exceptions.RayError as error:
            raise TrainingError(
                f"the Ray cluster, or the machine of it that led the run, is gone ({type(error).__name__}); "
                "--resume goes on from the last checkpoint"
            ) from error
        for one in news:
            self._heard(one)
        if is_wanted:
            self._sending = all_pieces(self._folder)
        self._send()

    def _heard(self, news: News) -> None:
        if isinstance(news, Said):
            stream = self._streams[news.is_error]
            stream.write(log.mask(news.text))
            stream.flush()
        elif isinstance(news, Ended):
            self.endings.setdefault(news.attempt, []).append(news.ending)
        elif isinstance(news, Began):
            if news.attempt:
                log.info(
                    f"a worker was lost or failed; all are started anew ({news.attempt} of {self._errand.max_restarts})"
                )
        elif isinstance(news, Away):
            log.info(f"the run folder lies on {news.machine} of the Ray cluster; its files come here as they are written")
        else:
            apply(self._claimed(), news)

    def _claimed(self) -> Path:
        """The run folder here, once the worker's checks have passed: it writes."""
        if self._run is None:
            resumes = is_run(self._folder) and not self._overwrites
            self._run = claim(self._folder, resume=resumes, overwrite=self._overwrites)
        return self._run.path

    def _send(self) -> None:
        """Some of what the leader asked for."""
        while self._sending is not None:
            piece = next(self._sending, None)
            waiting = self._ray.get(self._desk.send.remote([piece] if piece else [], is_all=piece is None))
            if piece is None:
                self._sending = None
            elif waiting >= _MAX_UNFETCHED:
                return


def outcome(
    endings: dict[int, list[Ending]], failures: dict[int, str], asked: Sequence[int], crew: Crew
) -> tuple[int, str, bool]:
    """Exit code and reason of what failed first in the last start, and whether the worker said it itself."""
    last = endings.get(max(endings, default=0), [])
    cause = first_cause(last)
    spoken = {ending.rank for ending in last}
    lost = {rank: why for rank, why in failures.items() if rank not in spoken}
    if lost and (cause is None or not cause.is_own):
        if asked:
            return 128 + asked[0], "interrupted; what was not saved yet is lost", False
        rank, why = next(iter(lost.items()))
        who = f"worker {rank} of the Ray cluster was lost" if rank >= 0 else "Ray couldn't run the workers"
        return 1, f"{who} ({why}); --resume goes on from the last checkpoint", False
    if cause is not None:
        return cause.code, cause.reason, crew.num_workers == 1
    return 0, "", False


class Signals:
    """A context manager in which SIGINT, SIGTERM and SIGHUP are noted in `asked`, for the workers to save and leave."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._previous = {number: signal.getsignal(number) for number in numbers}

    def __enter__(self) -> "Signals":
        self.catch()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def catch(self) -> None:
        """Install the handlers."""
        for number, handler in self._previous.items():
            if handler != signal.SIG_IGN:  # what a shell (nohup) has ignored stays so
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked.append(signal.SIGTERM if number == signal.SIGHUP else number)
