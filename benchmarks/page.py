"""How fast is the web page: when it is opened, with a run of 100,000 logged steps, with a list of 1,000 runs?

    python benchmarks/page.py                          # the table of docs/web-page.md
    python benchmarks/page.py --steps 10000 --runs 100 # smaller
    python benchmarks/page.py --check                  # exit code 1 if a page takes 2 seconds to open

Runs are written into a temporary folder as the worker leaves them, served by `autotrain app` as a process of its own, and
looked at with Debian's chromium through Playwright (extra dev).  Nothing is trained.
"""

import argparse
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OPEN_SECONDS = 2.0  # what a page may take to open
NUM_LIVE_ROWS = 40
LAST_STEP = """() => {
  const plot = Object.values(mounted_app.$refs).flat().find((one) => one?.whole);
  return plot?.whole[`${plot.runs[0]}:loss`]?.at(-1)?.[0];
}"""
WATCH_FRAMES = """() => {
  window.frames_ms = [];
  let last = performance.now();
  const tick = (now) => (window.frames_ms.push(now - last), (last = now), requestAnimationFrame(tick));
  requestAnimationFrame(tick);
}"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"

Figure = tuple[str, float, str]


def metric_row(step: int, chance: random.Random) -> dict[str, float]:
    """A logged step of preference training, which has the most metrics."""
    loss = 0.7 * math.exp(-step / 30_000) + chance.random() / 10
    return {
        "step": step,
        "epoch": round(step / 1000, 4),
        "loss": loss,
        "rewards/chosen": step / 1e5,
        "rewards/rejected": -step / 1e5,
        "rewards/accuracies": min(1.0, 0.5 + step / 4e5 + chance.random() / 10),
        "rewards/margins": step / 5e4,
        "grad_norm": 1 + chance.random(),
        "learning_rate": 5e-6,
        "tokens": step * 900,
        "seconds": round(step * 0.5, 3),
        "memory_bytes": 1_300_000_000 + step * 100,
    }


def write_run(folder: Path, num_steps: int, stage: str, pid: int) -> None:
    """As the worker leaves it: a validation every hundredth of the way, a line of log for each step."""
    chance = random.Random(folder.name)
    folder.mkdir(parents=True)
    params = {"model": "smollm2-135m", "project_name": folder.name, "trainer": "dpo", "data_path": "data", "set_by_user": []}
    (folder / "training_params.json").write_text(json.dumps(params))
    state = {"stage": stage, "step": num_steps, "total_steps": num_steps * 2, "pid": pid, "heartbeat": time.time()}
    (folder / "state.json").write_text(json.dumps({**state, "message": ""}))
    with (folder / "metrics.jsonl").open("w") as metrics, (folder / "train.log").open("w") as log:
        for step in range(1, num_steps + 1):
            metrics.write(json.dumps(metric_row(step, chance)) + "\n")
            if step % max(1, num_steps // 100) == 0:
                metrics.write(
                    json.dumps({"step": step, "eval_loss": 0.8 * math.exp(-step / 3e4), "eval_seconds": 1.0}) + "\n"
                )
            log.write(f"2026-01-02 03:04:05,678 step {step}/{num_steps * 2}: loss {step / 1e5:.4f}\n")


def make_runs(workspace: Path, num_runs: int, num_steps: int) -> int:
    """Small runs that have ended, and one large one that goes on; returns its number."""
    from autotrain.runs import register

    for number in range(num_runs - 1):
        write_run(workspace / f"run-{number:04}", 20, "finished", 0)
        register(f"run-{number:04}", workspace / f"run-{number:04}", "local-ui", 0)
    write_run(workspace / "long-run", num_steps, "training", os.getpid())
    found = register("long-run", workspace / "long-run", "local-ui", os.getpid())
    assert found is not None
    return found


@contextmanager
def serving(workspace: Path) -> Iterator[tuple[str, int]]:
    """The address and the process of a page."""
    command = [sys.executable, "-m", "autotrain", "app", "--port", "0", "--workspace", str(workspace)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        address = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
        yield address, process.pid
    finally:
        process.terminate()
        process.wait()


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def opened(browser: Any, address: str, ready: str) -> tuple[float, Any]:
    """Seconds from asking in a fresh browser to the selector `ready` being there and the page alive, and the page."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()

    def work() -> None:
        page.goto(address, wait_until="commit")
        page.wait_for_selector(ready)
        page.wait_for_function("window.socket?.connected")

    return seconds_of(work), page


def openings(browser: Any, base: str, number: int) -> Iterator[Figure]:
    """Each page in a browser that knows nothing yet; the first also in a server that nobody asked before."""
    runs, run, several = "td a.at-runs-name", "[data-canvas=loss] canvas", "[data-canvas=loss] canvas"
    pages = (
        ("list, first page after the start", "/runs", runs),
        ("list", "/runs", runs),
        ("long run, first time", f"/run/{number}", run),
        ("long run", f"/run/{number}", run),
        ("two runs compared", f"/compare?ids={number},{number - 1}", several),
    )
    for name, path, ready in pages:
        seconds, page = opened(browser, base + path, ready)
        yield f"open: {name}", seconds, "s"
        yield f"first paint: {name}", page.evaluate(PAINT) / 1000, "s"
        page.context.close()


def live(page: Any, folder: Path, num_steps: int, pid: int) -> Iterator[Figure]:
    """Rows are appended while the chart is looked at."""
    chance = random.Random(0)
    page.evaluate(WATCH_FRAMES)
    waits: list[float] = []
    cpu, started = cpu_seconds(pid), time.perf_counter()
    for step in range(num_steps + 1, num_steps + NUM_LIVE_ROWS + 1):
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(metric_row(step, chance)) + "\n")
        waits.append(seconds_of(lambda step=step: page.wait_for_function(f"(step) => ({LAST_STEP})() >= step", arg=step)))
    share = (cpu_seconds(pid) - cpu) / (time.perf_counter() - started)
    yield "live: from the file to the chart, median", 1000 * statistics.median(waits), "ms"
    yield "live: the same, 95 % are below", 1000 * statistics.quantiles(waits, n=20)[-1], "ms"
    yield "live: processor time of the server", 100 * share, "%"
    frames = page.evaluate("window.frames_ms")
    yield "live: frames, 95 % are below", statistics.quantiles(frames, n=20)[-1], "ms"


def using_charts(page: Any) -> Iterator[Figure]:
    def zoom() -> None:
        page.get_by_role("button", name="Zoom in").click()
        page.wait_for_function("Object.values(mounted_app.$refs).flat().find((one) => one?.whole).detail !== null")

    yield "zoom in, with points of its own", 1000 * seconds_of(zoom), "ms"
    page.get_by_role("button", name="Whole run").click()
    page.evaluate(WATCH_FRAMES)
    smooth = page.get_by_label("Smooth the curves")
    smooth.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(200)
    yield "smoothing by keyboard: longest frame", max(page.evaluate("window.frames_ms")), "ms"


def using_log(browser: Any, base: str, number: int, num_steps: int) -> Iterator[Figure]:
    seconds, page = opened(browser, f"{base}/run/{number}?tab=log", f"text=step {num_steps}/")
    yield "log: open at its end", seconds, "s"
    search = page.get_by_label("Search in the log")
    search.fill(f"step {num_steps // 2}/")

    def find() -> None:
        search.press("Enter")
        page.locator(".log-view mark").wait_for()

    yield "log: search", 1000 * seconds_of(find), "ms"
    page.context.close()


def using_list(browser: Any, base: str, num_runs: int) -> Iterator[Figure]:
    _, page = opened(browser, f"{base}/runs", "td a.at-runs-name")
    wanted = f"run-{num_runs // 2:04}"

    def search() -> None:
        page.get_by_label("Search").fill(wanted)
        page.wait_for_function("document.querySelectorAll('td a.at-runs-name').length === 1")

    yield "list: search, 250 ms of it waiting for more letters", 1000 * seconds_of(search), "ms"
    page.get_by_label("Search").fill("")
    page.wait_for_function("document.querySelectorAll('td a.at-runs-name').length === 25")

    def turn() -> None:
        page.get_by_role("button", name="Next").click()
        page.get_by_text("26 to 50 of").wait_for()

    yield "list: next page", 1000 * seconds_of(turn), "ms"
    page.context.close()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(browser: Any, workspace: Path, num_runs: int, num_steps: int) -> Iterator[Figure]:
    number = make_runs(workspace, num_runs, num_steps)
    with serving(workspace) as (base, pid):
        yield "server, memory at the start", memory_mb(pid), "MB"
        yield from openings(browser, base, number)
        _, page = opened(browser, f"{base}/run/{number}", "[data-canvas=loss] canvas")
        page.wait_for_function(f"(step) => ({LAST_STEP})() >= step", arg=num_steps)
        yield from live(page, workspace / "long-run", num_steps, pid)
        yield from using_charts(page)
        page.context.close()
        yield from using_log(browser, base, number, num_steps)
        yield from using_list(browser, base, num_runs)
        yield "server, memory at the end", memory_mb(pid), "MB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100_000, help="logged steps of the long run")
    parser.add_argument("--runs", type=int, default=1_000, help="runs in the list")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a page takes too long to open")
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        os.environ["AUTOTRAIN_HOME"] = f"{folder}/home"
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        figures = []
        print(f"{asked.steps:,} logged steps, {asked.runs:,} runs, {os.cpu_count()} cores\n")  # noqa: T201
        print("| what | measured |\n| --- | --- |")  # noqa: T201
        for name, value, unit in measure(browser, Path(folder) / "workspace", asked.runs, asked.steps):
            figures.append((name, value))
            print(f"| {name} | {value:.2f} s |" if unit == "s" else f"| {name} | {value:.0f} {unit} |", flush=True)  # noqa: T201
        browser.close()
    slow = [name for name, value in figures if name.startswith("open:") and value >= OPEN_SECONDS]
    return 1 if asked.check and slow else 0


if __name__ == "__main__":
    sys.exit(main())
