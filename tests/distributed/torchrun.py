"""Starting several processes for a test."""

import json
import os
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


def run_together(jobs: Jobs, num_processes: int, place: Path, *, seconds: float = 300) -> None:
    """Run `jobs` in `num_processes` processes that torchrun starts, in the folder `place`."""
    file = place / f"jobs-{num_processes}.json"
    file.write_text(json.dumps(list(jobs)))
    folder = place / f"launch-{num_processes}"
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
