"""Where this process stands among those of its run, as torchrun's variables, SLURM's, or our own launcher say it.

torch isn't needed to know it: the log asks before anything else is imported.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# How often the processes of all machines were started anew: torchrun counts for each machine what failed on it.
START_VARIABLE = "AUTOTRAIN_START"
# Set by our own launcher, for the processes that torchrun starts.
FOLDER_VARIABLE = "AUTOTRAIN_LAUNCH_FOLDER"
NODE_VARIABLE = "AUTOTRAIN_NODE"  # rank of this machine, as the user gave it
NODES_VARIABLE = "AUTOTRAIN_NODES"
STORE_VARIABLE = "AUTOTRAIN_STORE"  # HOST:PORT at which machine 0's launcher keeps a store


@dataclass(frozen=True)
class Place:
    """One of `total` processes: the `local`-th of `num_local` on machine `node` of `nodes`, all counted from 0.

    folder: shared by the processes of this machine while they run.  restart: how often they were started anew.
    host, port: of the store through which they find each other.
    """

    node: int
    nodes: int
    local: int
    num_local: int
    total: int
    folder: Path
    restart: int
    host: str
    port: int

    @property
    def leads_node(self) -> bool:
        """Whether this process does what is done once on each machine."""
        return self.local == 0

    @property
    def leads(self) -> bool:
        """Whether this process writes the result and speaks."""
        return self.local == 0 and self.node == 0


def find_place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """None for a run of one process."""
    try:
        total, local = int(environment["WORLD_SIZE"]), int(environment["LOCAL_RANK"])
        num_local = int(environment.get("LOCAL_WORLD_SIZE", total))
        host, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    except (KeyError, ValueError):
        return None
    node = int(environment.get(NODE_VARIABLE) or environment.get("GROUP_RANK") or 0)
    nodes = int(environment.get(NODES_VARIABLE) or max(1, total // max(1, num_local)))
    restart = int(environment.get(START_VARIABLE) or environment.get("TORCHELASTIC_RESTART_COUNT") or 0)
    if total == 1:
        return None
    folder = environment.get(FOLDER_VARIABLE)
    place = Path(folder) if folder else _folder_of(environment, host, port)
    store = environment.get(STORE_VARIABLE)
    if store:  # torchrun numbers machines as it likes, and names the first of them the master
        host, port = store.rpartition(":")[0].strip("[]"), int(store.rpartition(":")[2])
    return Place(node, nodes, local, num_local, total, place, restart, host, port)


def _folder_of(environment: Mapping[str, str], host: str, port: int) -> Path:
    """For processes that somebody else's torchrun started: the same for all of them on this machine, and new each time."""
    names = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "SLURM_STEP_ID")
    run = "|".join([host, str(port), str(os.getuid()), *(environment.get(name, "") for name in names)])
    return Path(tempfile.gettempdir()) / f"autotrain-{os.getuid()}-{hashlib.sha256(run.encode()).hexdigest()[:16]}"
