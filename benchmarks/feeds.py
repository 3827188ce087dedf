"""How fast the page's data are at hand: a run of 100,000 logged steps, and a list of 1,000 runs.

python -m benchmarks.feeds [--steps 100000] [--runs 1000]

Times are CPU seconds of this process; memory is what the process grew by.
"""

import argparse
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from autotrain.app.feeds import Feeds
from autotrain.runs import register
from autotrain.trainers.clm.params import LLMTrainingParams

_DEAD = 2**22 - 3


def make_run(folder: Path, steps: int, stage: str = "finished") -> None:
    """A run folder with metrics of `steps` steps, a log as long, and the rest of what a run leaves."""
    folder.mkdir(parents=True)
    LLMTrainingParams(model="acme/tiny", project_name=folder.name, trainer="sft", data_path="data").save(folder)
    state = {"stage": stage, "step": steps, "total_steps": steps, "pid": _DEAD, "heartbeat": time.time(), "message": ""}
    (folder / "state.json").write_text(json.dumps(state))
    draw = random.Random(0)
    with (folder / "metrics.jsonl").open("w") as metrics, (folder / "train.log").open("w") as log:
        for step in range(1, steps + 1):
            row = {
                "step": step,
                "epoch": step / steps,
                "loss": 2 + draw.random(),
                "grad_norm": draw.random(),
                "learning_rate": 1e-4 * (1 - step / steps),
                "tokens": step * 1000,
                "seconds": step * 0.5,
                "memory_bytes": 10**9,
            }
            metrics.write(json.dumps(row) + "\n")
            log.write(f"2026-01-01 00:00:00,000 step {step}/{steps}  loss {row['loss']:.4f}\n")


def measure(what: str, work: Callable[[], object]) -> float:
    """Do `work` and say how long it took."""
    started = time.process_time()
    work()
    seconds = time.process_time() - started
    print(f"{what:58}{seconds * 1000:10.1f} ms")  # noqa: T201
    return seconds


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.environ["AUTOTRAIN_HOME"] = str(Path(name) / "home")
        _long_run(Path(name), options.steps)
        _many_runs(Path(name), options.runs)


def _long_run(place: Path, steps: int) -> None:
    make_run(place / "long", steps, "training")
    number = register("long", place / "long", "local", os.getpid())
    assert number is not None
    before, feed = _memory(), Feeds().run(number)
    print(f"a run of {steps:,} logged steps")  # noqa: T201
    measure("where it stands", feed.view)
    measure("names of the metrics (reads all of them)", feed.metric_names)
    names = feed.metric_names()
    measure("all metrics, 1,000 points each", lambda: feed.history(names))
    measure("one metric, a tenth of the run", lambda: feed.history(["loss"], steps * 0.4, steps * 0.5))
    size = (place / "long" / "metrics.jsonl").stat().st_size
    measure("what is new since a moment ago", lambda: feed.since(size))
    measure("number of lines of the log (reads all of it)", feed.log_size)
    measure("200 lines from its middle", lambda: feed.log_lines(steps // 2, 200))
    measure("find a text that isn't there", lambda: feed.log_find("no such text", 0))
    measure("whether anything changed", feed.signature)
    print(f"{'memory':58}{_memory() - before:10.1f} MB")  # noqa: T201


def _many_runs(place: Path, count: int) -> None:
    for index in range(count):
        make_run(place / f"run-{index}", 100)
        register(f"run-{index}", place / f"run-{index}", "local", _DEAD)
    print(f"a list of {count:,} runs")  # noqa: T201
    before, feeds = _memory(), Feeds()
    measure("at first", feeds.list)
    measure("again", feeds.list)
    measure("those whose name holds 99", lambda: feeds.list("99"))
    measure("whether anything changed", feeds.signature)
    print(f"{'memory':58}{_memory() - before:10.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
