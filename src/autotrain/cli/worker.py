"""Hands the terminal over to a worker, which may import torch."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn


def become_worker(entry: str, request: Mapping[str, Any], token: str | None = None) -> NoReturn:
    """Replace this process by the worker's `generate` entry: its output, signals and exit code are ours.

    The hub token travels in the environment, never in argv.
    """
    # -P: a `datasets.py` in the user's folder must not stand in for the library.
    command = [sys.executable, "-P", "-m", "autotrain.trainers.clm", "generate", entry, json.dumps(request)]
    environment = {**os.environ, "HF_TOKEN": token} if token else dict(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, command, environment)
