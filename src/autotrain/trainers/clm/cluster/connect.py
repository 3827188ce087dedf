"""Reaching a Ray cluster, or starting one on this machine that ends with the run."""

import logging
import os
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from autotrain import log
from autotrain.errors import ConfigError, DeviceError
from autotrain.trainers.clm.cluster.conduct import Crew

MISSING = "backend: ray needs Ray: pip install 'autotrain-llm[ray]'"
# Sockets below it may have 107 letters in all.
_SHORT_FOLDER = Path("/tmp")
_TOKEN_FILE = Path("~/.ray/auth_token")  # where Ray looks for it
_HINT = "; if it asks for a token, set RAY_AUTH_TOKEN"
_STORE_BYTES = 200_000_000  # only pieces of files and lines of text pass through it
# Which of the driver's variables the workers get; paths of this machine mean nothing there.
_TRAVELLING = frozenset(
    "HF_TOKEN HF_ENDPOINT HF_HUB_OFFLINE TOKENIZERS_PARALLELISM LRU_CACHE_CAPACITY ONEDNN_PRIMITIVE_CACHE_CAPACITY "
    "GOMP_SPINCOUNT MALLOC_MMAP_MAX_ MALLOC_TRIM_THRESHOLD_ MALLOC_TOP_PAD_ OMP_NUM_THREADS AUTOTRAIN_CACHE".split()
)
_TRAVELLING_BEGINNINGS = ("WANDB_", "MLFLOW_", "TRACKIO_")
_SECRET_ENDS = ("_TOKEN", "_KEY", "_PASSWORD")


def travelling(environment: Mapping[str, str]) -> dict[str, str]:
    """Of the driver's variables, those that the workers get."""
    return {
        name: value for name, value in environment.items() if name in _TRAVELLING or name.startswith(_TRAVELLING_BEGINNINGS)
    }


@contextmanager
def connected(address: str | None, crew_of_machine: "Crew | None") -> Generator[Any]:
    """The module `ray`, connected; meanwhile nobody sees what is written to sys.stdout, which only Ray does.

    crew_of_machine: what a cluster of our own must have room for, None for another's.

    Raises DeviceError where Ray is missing or the cluster can't be reached.
    """
    _quiet()
    _authenticate(address)
    try:
        import ray  # pyright: ignore[reportMissingImports]  an extra
        import ray.train.torch  # pyright: ignore[reportMissingImports]  an extra
    except ImportError as error:
        raise DeviceError(f"{MISSING} ({error})") from error
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    # Ray hands the driver's variables on to all that it starts, and shows them; ours come another way.
    hidden = {name: os.environ.pop(name) for name in travelling(os.environ) if name.endswith(_SECRET_ENDS)}
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    folder: Path | None = None
    if address is None:
        assert crew_of_machine is not None
        folder = Path(tempfile.mkdtemp(prefix="ray-", dir=_SHORT_FOLDER if os.access(_SHORT_FOLDER, os.W_OK) else None))
        settings |= _local_cluster(crew_of_machine, folder)
    else:
        settings |= {"address": address, "runtime_env": {"py_modules": [str(Path(__file__).parents[3])]}}
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # whatever happens, Ray has a paragraph for it
            ray.init(**settings)
            yield ray
    except (ConnectionError, RuntimeError, ValueError) as error:
        if ray.is_initialized():
            raise
        if address is None:
            raise DeviceError(f"Ray couldn't be started on this machine: {error}") from error
        raise DeviceError(f"ray_address: no Ray cluster could be reached at {address}: {error}{_HINT}") from error
    finally:
        ray.shutdown()
        os.environ.update(hidden)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _quiet() -> None:
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_V2_ENABLED": "1",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_METRICS_ENABLED": "0",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    }.items():
        os.environ.setdefault(name, value)
    warnings.simplefilter("ignore")


def _authenticate(address: str | None) -> None:
    """Whoever reaches a cluster may run anything on it: ours gets a secret of its own, others the user's if he has one."""
    if address is None:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    elif "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ or _TOKEN_FILE.expanduser().is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _local_cluster(crew: Crew, folder: Path) -> dict[str, Any]:
    """Room for all workers: as with backend: local, there may be more of them than processors."""
    needed = crew.num_workers * crew.resources.get("CPU", 0)
    custom = {name: crew.num_workers * n for name, n in crew.resources.items() if name not in ("CPU", "GPU", "memory")}
    return {
        "address": "local",
        "num_cpus": max(len(os.sched_getaffinity(0)), int(-(-needed // 1))),
        "resources": custom,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        "object_store_memory": _STORE_BYTES,
        "_temp_dir": str(folder),
    }


def choose_crew(devices: int | None, asked: Mapping[str, float], max_restarts: int, room: Mapping[str, float]) -> Crew:
    """How many workers with what each.  room: what the cluster has in all.  Raises ConfigError for what can't be."""
    gpus = asked.get("GPU", 1.0 if room.get("GPU", 0) else 0.0)
    if gpus and gpus != 1:
        raise ConfigError(f"ray_resources: GPU={gpus:g}: a worker trains on one GPU (GPU=1), or on none (GPU=0)")
    number = devices or max(1, int(room.get("GPU", 0)) if gpus else 1)
    resources = {"CPU": 1.0, **asked, **({"GPU": gpus} if gpus else {})}
    return Crew(number, {name: amount for name, amount in resources.items() if amount}, max_restarts)


def check_room(crew: Crew, room: Mapping[str, float], *, may_grow: bool) -> None:
    """Say what the cluster lacks now.  Raises ConfigError where it will never have it."""
    lacks = [
        f"{crew.num_workers * amount:g} {name} (it has {room.get(name, 0):g})"
        for name, amount in crew.resources.items()
        if crew.num_workers * amount > room.get(name, 0)
    ]
    if lacks and not may_grow:
        raise ConfigError(
            f"devices: {crew.num_workers} workers need {', '.join(lacks)} on this machine; lower devices or ray_resources"
        )
    if lacks:
        log.notice(f"{crew.num_workers} workers need {', '.join(lacks)} of the Ray cluster: waiting until it has grown")
