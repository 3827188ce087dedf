"""Times the steps of a trainer of transformers; imported in the environments of those that we compare with."""

import resource
import time
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):
    """Times what lies between a step's begin and its end; reading and collating the batch come before it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self.start_cpu_seconds = 0.0
        self._began = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if not self.seconds:
            self.start_cpu_seconds = cpu_seconds()
        self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        self.seconds.append(time.perf_counter() - self._began)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


def cpu_seconds() -> float:
    """Of this process and its children so far."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
