"""What runs in each worker that Ray Train starts: the same worker process as anywhere else, watched.

It is a process of its own, since training catches signals, and Ray calls us in a thread of a process that is Ray's.
"""

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray  # pyright: ignore[reportMissingImports]  an extra
import torch.distributed as dist
from ray import train as ray_train  # pyright: ignore[reportMissingImports]  an extra

from autotrain.errors import REASON_FILE_VARIABLE, UserError
from autotrain.run_folder import is_held, is_run
from autotrain.trainers.clm.cluster.child import Child
from autotrain.trainers.clm.cluster.desk import Answer, Away, Ended, News
from autotrain.trainers.clm.cluster.errand import Errand
from autotrain.trainers.clm.cluster.files import PIECE_BYTES, Watch, apply
from autotrain.training.ending import Ending
from autotrain.training.place import FOLDER_VARIABLE, NODE_VARIABLE, NODES_VARIABLE, STORE_VARIABLE

_LOOK_SECONDS = 0.2
_SCAN_SECONDS = 1.0
_MAX_WAITING_BYTES = 16 * PIECE_BYTES
# What the others get to end by themselves, and the last start's process to leave the run folder.
_PATIENCE_SECONDS = 60.0
_GRACE_SECONDS = 8.0  # to end by itself, after another one has failed
_ONCE_ENOUGH = frozenset({UserError.exit_code, 3, 130, 143})  # starting anew mends none of these
_WELL = _ONCE_ENOUGH | {0}


class StartAnew(Exception):
    """Ends a worker so that Ray starts all of them anew, where it may."""


def work(config: dict[str, Any]) -> None:
    """The train function of TorchTrainer.  Raises StartAnew where another try may help."""
    errand: Errand = config["errand"]
    spot = _find_spot(errand)
    may_help = True
    try:
        may_help = _Errand(errand, spot).run()
    finally:
        _leave(spot, None if may_help and spot.attempt < errand.max_restarts else _scratch(errand))
    if may_help:
        raise StartAnew


@dataclass(frozen=True)
class Spot:
    """One of `total` processes, the `local`-th of `num_local` on machine `node` of `nodes`; `attempt` counts the starts.

    folder: of the processes of this machine and start.  host, port: of the store through which they find each other, which
    lives as long as its leader.
    """

    rank: int
    total: int
    local: int
    num_local: int
    node: int
    nodes: int
    attempt: int
    folder: Path
    host: str
    port: int
    store: dist.Store | None

    def variables(self) -> dict[str, str]:
        """Those that training/place.py reads."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.total),
            "LOCAL_RANK": str(self.local),
            "LOCAL_WORLD_SIZE": str(self.num_local),
            "MASTER_ADDR": self.host,
            "MASTER_PORT": str(self.port),
            "TORCHELASTIC_RESTART_COUNT": str(self.attempt),
            FOLDER_VARIABLE: str(self.folder),
            NODE_VARIABLE: str(self.node),
            NODES_VARIABLE: str(self.nodes),
            STORE_VARIABLE: f"{self.host}:{self.port}",
        }


def _find_spot(errand: Errand) -> Spot:
    """Agree with the other workers, through the process group that Ray made of them."""
    context = ray_train.get_context()
    rank, total, node = context.get_world_rank(), context.get_world_size(), context.get_node_rank()
    store: dist.Store | None = None
    mine: dict[str, Any] = {"node": node}
    if rank == 0:
        host = ray.util.get_node_ip_address()
        store = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False)
        mine |= {"host": host, "port": store.port, "attempt": ray.get(errand.desk.begin.remote())}
    everyone: list[Any] = [None] * total
    dist.all_gather_object(everyone, mine)
    leader = everyone[0]
    return Spot(
        rank,
        total,
        context.get_local_rank(),
        context.get_local_world_size(),
        node,
        1 + max(one["node"] for one in everyone),
        leader["attempt"],
        _folder(errand, node, leader["attempt"]),
        leader["host"],
        leader["port"],
        store,
    )


class _Errand:
    """The worker process of one spot, from its start to its ending."""

    def __init__(self, errand: Errand, spot: Spot) -> None:
        self._errand, self._spot, self._desk = errand, spot, errand.desk
        self._leads = spot.rank == 0
        file, word = errand.probe
        self._is_home = file.is_file() and file.read_text(encoding="ascii") == word
        self._watch: Watch | None = None
        self._scanned = 0.0
        self._child: Child | None = None

    def run(self) -> bool:
        """Returns whether all failed in a way that another start may mend."""
        for earlier in range(self._spot.attempt if self._spot.local == 0 else 0):  # of workers that Ray has ended by force
            shutil.rmtree(_folder(self._errand, self._spot.node, earlier), ignore_errors=True)
        self._spot.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self._errand.place if self._is_home else self._away()
        fault = "" if self._is_home else self._unreachable()
        if fault:
            code = UserError.exit_code
            return self._ended(Ending(self._spot.rank, self._spot.attempt, code, fault, True, time.time()))
        self._enter(place / self._errand.project)
        self._child = child = Child(self._command(place / self._errand.project), self._environment(), place, self._spot)
        answer, failed_at = self._put([]), 0.0
        while child.is_running:
            if answer.asked is not None:
                child.ask(answer.asked)
            time.sleep(_LOOK_SECONDS)
            if self._watch is not None and time.monotonic() - self._scanned > _SCAN_SECONDS:
                self._send_changes(self._watch)
            answer = self._put(child.said())
            if any(code not in _WELL for code in answer.codes):
                failed_at = failed_at or time.monotonic()
                if time.monotonic() - failed_at > _GRACE_SECONDS:
                    child.end()
        return self._ended(child.ending(answer.asked))

    def _away(self) -> Path:
        """The folder to train in where the driver's can't be seen."""
        place = self._errand.storage or _scratch(self._errand)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place

    def _unreachable(self) -> str:
        """Why what lies on the driver's disks can't be read here, "" if it can."""
        here = f"{socket.gethostname()} of the cluster"
        for key, path in self._errand.local_paths.items():
            absolute = self._errand.place / path
            if not absolute.exists():
                return (
                    f"{key}: {path} is on the machine that started the run, and {here} has no {absolute}: put it into a "
                    "folder that all machines see under the same name, or on the hub"
                )
            if not Path(path).is_absolute():
                return (
                    f"{key}: {path} begins in the folder that the run was started in, which {here} doesn't see; "
                    f"write {absolute}, which it does"
                )
        return ""

    def _enter(self, run: Path) -> None:
        """Once the leader has the run folder as it must be: as it is at home, and left by whoever held it before."""
        if self._leads:
            self._enter_first(run)
        dist.barrier()

    def _enter_first(self, run: Path) -> None:
        if not self._is_home:
            self._watch = Watch(run)
            ray.get(self._desk.put.remote(self._spot.attempt, [Away(socket.gethostname())]))
            if "--resume" in self._errand.options and not is_run(run):
                self._fetch(run)
        end = time.monotonic() + _PATIENCE_SECONDS
        while self._spot.attempt and is_held(run) and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)

    def _fetch(self, run: Path) -> None:
        """What the driver has of the run."""
        ray.get(self._desk.want_files.remote())
        is_all = False
        while not is_all:
            time.sleep(_LOOK_SECONDS / 4)
            pieces, is_all = ray.get(self._desk.fetch.remote())
            for piece in pieces:
                apply(run, piece)

    def _command(self, run: Path) -> list[str]:
        file = self._spot.folder / f"parameters-{self._spot.local}.json"
        file.write_text(self._errand.parameters, encoding="utf-8")
        again = self._spot.attempt and is_run(run)
        options = ("--resume",) if again else self._errand.options
        return [sys.executable, "-P", "-m", "autotrain.trainers.clm", "train", "--training_config", str(file), *options]

    def _environment(self) -> dict[str, str]:
        package = Path(__file__).parents[4]
        paths = [str(package), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        own = {name: value for name, value in os.environ.items() if name != "ACCELERATE_TORCH_DEVICE"}
        return {
            **own,
            **ray.get(self._desk.variables.remote()),
            **self._spot.variables(),
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
            "TORCH_CPP_LOG_LEVEL": os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR"),
            REASON_FILE_VARIABLE: str(self._spot.folder / f"reason-{self._spot.local}"),
        }

    def _send_changes(self, watch: Watch) -> None:
        """Of the run folder, no faster than the driver takes them."""
        for change in watch.changes():
            waiting = self._put([change]).num_bytes
            while waiting > _MAX_WAITING_BYTES:
                time.sleep(_LOOK_SECONDS)
                waiting = self._put([]).num_bytes
        self._scanned = time.monotonic()

    def _put(self, news: Sequence[News]) -> Answer:
        """Raises what Ray raises when the driver is gone, after the child was asked to save and leave."""
        try:
            return ray.get(self._desk.put.remote(self._spot.attempt, list(news)))
        except ray.exceptions.RayError:
            if self._child is not None:
                self._child.leave(_PATIENCE_SECONDS)
            raise

    def _ended(self, ending: Ending) -> bool:
        """Tell it, and wait for the others: Ray ends them by force as soon as one has failed."""
        if self._watch is not None:
            self._send_changes(self._watch)
        said = self._child.said() if self._child else []
        answer = self._put([*said, Ended(self._spot.attempt, ending)])
        end = time.monotonic() + _PATIENCE_SECONDS
        while len(answer.codes) < self._spot.total and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            answer = self._put([])
        return any(answer.codes) and not any(code in _ONCE_ENOUGH for code in answer.codes)


def _folder(errand: Errand, node: int, attempt: int) -> Path:
    return Path(tempfile.gettempdir()) / f"autotrain-{errand.number}-{node}-{attempt}"


def _scratch(errand: Errand) -> Path:
    """Where the run folder lies on a machine that doesn't see the driver's, nor a storage."""
    return Path(tempfile.gettempdir()) / f"autotrain-{errand.number}"


def _leave(spot: Spot, scratch: Path | None) -> None:
    """Whoever is the last of this machine takes the folders away."""
    (spot.folder / f"left-{spot.local}").touch()
    if len(list(spot.folder.glob("left-*"))) == spot.num_local:
        shutil.rmtree(spot.folder, ignore_errors=True)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
