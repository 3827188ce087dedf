"""The launcher of several processes on this machine: torchrun's own agent, and around it what a user is used to.

Signals reach the processes once, and they save and leave; the exit code is that of the process that failed first, whose
reason is told; nothing is left behind.
"""

import argparse
import logging
import os
import shutil
import signal
import socket
import tempfile
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from autotrain import log
from autotrain.errors import REASON_FILE_VARIABLE, DeviceError
from autotrain.run_folder import WORKER_VARIABLE
from autotrain.trainers.clm.rank import forget_processes, is_final, process_numbers
from autotrain.training.ending import Ending, first_cause, read_endings
from autotrain.training.place import FOLDER_VARIABLE, NODE_VARIABLE, NODES_VARIABLE, START_VARIABLE, STORE_VARIABLE

# What processes that save get when the agent ends them; those that wait for a dead one end themselves before.
_SHUTDOWN_SECONDS = 120
# Machine 0, done, keeps the store for the others so long; they are done before it, or were told why they end.
_BARRIER_SECONDS = 30
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Run `python -m autotrain.trainers.clm train ...` several times, as torchrun does; returns the exit code."""
    options, worker = _options().parse_known_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="autotrain-"))
    reason_file = os.environ.pop(REASON_FILE_VARIABLE, None)
    try:
        code, reason = _run(options, worker, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if reason:
        log.error(reason)
        if reason_file:
            Path(reason_file).write_text(log.mask(reason), encoding="utf-8")
    return code


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m autotrain.trainers.clm crew", allow_abbrev=False, add_help=False)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--node-rank", type=int, default=0)
    parser.add_argument("--master")
    parser.add_argument("--max-restarts", type=int, default=0)
    return parser


def _run(options: argparse.Namespace, worker: Sequence[str], folder: Path) -> tuple[int, str]:
    """Exit code, and why it isn't 0."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")  # before torch is imported
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    _quiet()
    os.environ |= {
        FOLDER_VARIABLE: str(folder),
        WORKER_VARIABLE: str(os.getpid()),
        NODE_VARIABLE: str(options.node_rank),
        NODES_VARIABLE: str(options.nodes),
        "PYTHONSAFEPATH": "1",  # a `datasets.py` in the user's folder must not stand in for the library
    }
    _share_processor(options.devices)
    if options.nodes > 1:
        os.environ[STORE_VARIABLE] = options.master
        taken = _taken_port(options)
        if taken:
            return DeviceError.exit_code, taken
        shown = "" if options.node_rank == 0 else "; what is done is shown on machine 0"
        log.info(f"machine {options.node_rank} of {options.nodes}: meeting the others at {options.master}{shown}")
    args = torchrun.parse_args([*_torchrun_options(options), "-m", "autotrain.trainers.clm", *worker])
    failures: dict[int, Any] = {}
    with _signals_to_processes(folder) as asked:
        _watch_starts(folder, asked)
        try:
            torchrun.run(args)
        except ChildFailedError as error:
            failures = dict(error.failures)
        except KeyboardInterrupt:
            again = "interrupted while the processes were started anew; --resume goes on from the last checkpoint"
            reason = again if int(os.environ.get(START_VARIABLE) or 0) else "interrupted before training began"
            return 128 + (asked or [signal.SIGINT])[0], reason
        except Exception as problem:  # noqa: BLE001  whatever the agent has, it is told in a sentence
            return _told(problem, options, read_endings(folder))
    return _outcome(_last_endings(folder), failures, asked)


def _last_endings(folder: Path) -> list[Ending]:
    """Of the last start: a failure before it was made good, or is another one's cause no more.

    Where starting anew doesn't help, processes leave without a word; the ones before have said it.
    """
    start = int(os.environ.get(START_VARIABLE) or 0)
    before = read_endings(folder, start - 1)
    return read_endings(folder, start) or (before if is_final(before) else [])


def _watch_starts(folder: Path, asked: Sequence[int]) -> None:
    """Tell processes which start of all machines theirs is, by which they find each other and not those of the last one.

    And begin none that was asked to stop meanwhile.  In this launcher torchrun's agent is a class of ours for that.
    """
    from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
    from torch.distributed.launcher import api

    class Agent(LocalElasticAgent):
        def _start_workers(self, worker_group: Any) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
            forget_processes(folder)  # of the start before: a signal would reach nobody, and be lost
            meeting: Any = worker_group.spec.rdzv_handler
            os.environ[START_VARIABLE] = str(meeting._state_holder.state.round)
            if asked:
                raise KeyboardInterrupt
            self._exit_barrier_timeout = _BARRIER_SECONDS
            return super()._start_workers(worker_group)  # pyright: ignore[reportCallIssue]

    api.LocalElasticAgent = Agent


def _torchrun_options(options: argparse.Namespace) -> list[str]:
    meeting = ["--standalone"] if options.nodes == 1 else _meeting(options)
    return [
        *meeting,
        f"--nproc-per-node={options.devices}",
        f"--max-restarts={options.max_restarts}",
        "--monitor-interval=0.1",
        f"--shutdown-timeout={_SHUTDOWN_SECONDS}",
        "--signals-to-handle=SIGUSR2",  # ours are passed on here
    ]


def _meeting(options: argparse.Namespace) -> list[str]:
    is_host = "true" if options.node_rank == 0 else "false"
    return [
        f"--nnodes={options.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={options.master}",
        "--rdzv-id=autotrain",
        # The others may have to wait until machine 0 is up, and for each other.
        f"--rdzv-conf=is_host={is_host},join_timeout=3600,timeout=3600,read_timeout=60",
    ]


def _taken_port(options: argparse.Namespace) -> str:
    """What is wrong with the port that machine 0 is to open; "" where nothing is, and on other machines."""
    port = int(options.master.rpartition(":")[2])
    if options.node_rank > 0:
        return ""
    with socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("", port))
        except OSError as problem:
            return (
                f"master: port {port} of this machine can't be opened ({problem.strerror}): another run has it, or another "
                "command was given node_rank 0, too; name another port in --master, on all machines"
            )
    return ""


def _share_processor(num_processes: int) -> None:
    """Threads for each process, unless the user said how many."""
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) // num_processes))


def _quiet() -> None:
    """torchrun's own lines are about its insides; what a user needs is told here."""
    for name in ("torch", "torch.distributed"):  # loggers below set levels of their own
        for handler in logging.getLogger(name).handlers:
            handler.setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore")


@contextmanager
def _signals_to_processes(folder: Path) -> Generator[list[int]]:
    """Inside, SIGINT, SIGTERM and SIGHUP go to the processes, which save and leave.  Yields the list of those that came."""
    asked: list[int] = []

    def forward(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        processes = process_numbers(folder)
        for pid in processes:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if not processes and number != signal.SIGHUP:  # none has begun
            raise KeyboardInterrupt

    # What a shell (nohup) has ignored stays so.
    caught = [number for number in _FORWARDED if signal.getsignal(number) != signal.SIG_IGN]
    previous = {number: signal.signal(number, forward) for number in caught}
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _outcome(endings: Sequence[Ending], failures: dict[int, Any], asked: Sequence[int]) -> tuple[int, str]:
    """The exit code and reason of what failed first."""
    cause = first_cause(endings)
    spoken = {ending.rank for ending in endings}
    silent = {rank: failure for rank, failure in failures.items() if failure.local_rank not in spoken}
    if silent and (cause is None or not cause.is_own):
        if asked:
            return 128 + asked[0], "interrupted; what was not saved yet is lost"
        rank, failure = min(silent.items(), key=lambda one: one[1].timestamp)
        return (
            1,
            f"process {rank} {death(failure.exitcode)}; the others were ended, too. --resume goes on from the last "
            "checkpoint",
        )
    if cause is not None:
        return cause.code, cause.reason
    return (1, "a process ended without a word") if failures else (0, "")


def death(exit_code: int) -> str:
    """What a process that said nothing ended by, to follow its name."""
    if exit_code == -signal.SIGKILL:
        return "was ended by force (SIGKILL): somebody did so, or the system, for want of memory"
    if exit_code < 0:
        return f"was ended by {signal.Signals(-exit_code).name}"
    return f"ended with exit code {exit_code}, without a word"


def _told(problem: Exception, options: argparse.Namespace, endings: list[Ending]) -> tuple[int, str]:
    cause = first_cause(endings)
    if cause is not None:
        return cause.code, cause.reason
    kind = type(problem).__name__
    if options.nodes > 1:
        return (
            DeviceError.exit_code,
            f"the machines didn't meet at {options.master} ({kind}: {problem}); start the same command on all "
            f"{options.nodes} of them, each with a node_rank of its own from 0, and see that machine 0 can be "
            "reached at that address",
        )
    return 1, f"the processes couldn't be started ({kind}: {problem})"
