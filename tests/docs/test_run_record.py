"""docs/results.md names each field of run.json's timings, and no other."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autotrain.trainers.clm.record import Start, memory, timings
from autotrain.training.checkpoint import Progress
from autotrain.training.forecast import Forecast, LargestBatch
from autotrain.training.plan import MemoryPlan

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
PROGRESS = Progress(num_tokens=1200, num_trained_tokens=300, train_seconds=4.0, train_cpu_seconds=7.5)


def fields_under(title: str) -> list[str]:
    """First cells of the table under the heading `title`."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)`", section, re.MULTILINE)


def test_the_page_names_the_timings() -> None:
    assert fields_under("Time and speed") == list(timings(PROGRESS, Start(1.0, 2.0), 9.0, 1.0))


def test_the_page_names_what_is_said_of_memory() -> None:
    largest = LargestBatch((0,), 10, 5, True)
    ready = SimpleNamespace(memory=MemoryPlan(64, 0, 2, 1000, ""), loaded_bytes=1)
    work: Any = SimpleNamespace(ready=ready, forecast=Forecast(500, largest))
    assert fields_under("Memory") == [*memory(work), "measured_peak_bytes"]


def test_timings_are_over_the_steps_alone() -> None:
    found = timings(PROGRESS, Start(1.0, 2.0), 9.0, floor_seconds=3.0)
    assert found["tokens_per_second"] == 300 and found["floor_share"] == 0.75
    assert (found["start_seconds"], found["start_cpu_seconds"], found["total_seconds"]) == (1.0, 2.0, 9.0)


@pytest.mark.parametrize(("progress", "floor_seconds"), [(Progress(), 3.0), (PROGRESS, None)])
def test_what_isnt_known_is_null(progress: Progress, floor_seconds: float | None) -> None:
    assert timings(progress, Start(1.0, 2.0), 9.0, floor_seconds)["floor_share"] is None
