"""Starting several processes for a test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

JOBS = Path(__file__).parent / "jobs.py"
Jobs = Sequence[dict[str, Any]]


def keep_small(job: dict[str, Any], set_item: Callable[[Any, str, int], None]) -> None:
    """A job may say how many tokens a micro-batch may have, `max_tokens`."""
    if "max_tokens" in job:
        from autotrain.training import plan

        set_item(plan._MAX_TOKENS, "cpu", job["max_tokens"])


def run_together(jobs: Jobs, num_processes: int, place: Path, *, seconds: float = 500, name: str = "launch") -> None:
    """Run `jobs` in `num_processes` processes that torchrun starts, in the folder `place`."""
    file = place / f"{name}-{num_processes}.json"
    file.write_text(json.dumps(list(jobs)))
    folder = place / f"{name}-{num_processes}"
    folder.mkdir()
    environment = {
        **os.environ,
        "AUTOTRAIN_LAUNCH_FOLDER": str(folder),
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_processes}"]
    done = subprocess.run(
        [*command, str(JOBS), str(file)], cwd=place, env=environment, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]


def checkpoint_all(job: dict[str, Any], set_attribute: Callable[[Any, str, Any], None]) -> None:
    """A job may compute all layers again in the backward pass, as if memory were short: `checkpointed`."""
    if "checkpointed" in job:
        from autotrain.models.network import Network

        of_some = Network.checkpoint_layers
        set_attribute(Network, "checkpoint_layers", lambda self, number: of_some(self, 1_000))


def stop_after(job: dict[str, Any], set_attribute: Callable[[Any, str, Any], None]) -> None:
    """A job may be asked to save and leave after `stop_after` steps."""
    if "stop_after" not in job:
        return
    from autotrain.training.loop import Loop

    take_step = Loop._take_step

    def step(loop: Loop) -> None:
        take_step(loop)
        if loop.progress.step == job["stop_after"]:
            loop._stop.number = signal.SIGTERM

    set_attribute(Loop, "_take_step", step)
