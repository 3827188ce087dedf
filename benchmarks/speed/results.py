"""The file of results: one entry a work, from as many invocations as it took.  Never mixes processors."""

import json
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FORMAT = 1
ROOT = Path(__file__).parents[2]


class OtherProcessor(Exception):
    """The file holds results of another processor."""


def read_results(path: Path) -> dict[str, Any]:
    """What the file holds; an empty set of results where there is none."""
    if not path.is_file():
        return {"format": FORMAT, "works": {}}
    return json.loads(path.read_text(encoding="utf-8"))


def check_processor(results: Mapping[str, Any], processor: str) -> None:
    """Raises OtherProcessor if figures of `processor` must not stand beside those that are there."""
    before = results.get("processor", processor)
    if before != processor:
        raise OtherProcessor(f"these results are of {before}, this machine is {processor}: give --results another file")


def merged(results: Mapping[str, Any], name: str, entry: Mapping[str, Any], processor: str) -> dict[str, Any]:
    """The results with a work's entry put in, in place of an older one.  Raises OtherProcessor."""
    check_processor(results, processor)
    return {**results, "processor": processor, "works": {**results["works"], name: dict(entry)}}


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def commit() -> str:
    """Of the repository, `-changed` after it where sources differ from it; "" outside a repository."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        return f"{head}-changed" if _git("status", "--porcelain", "--untracked-files=no", "src", "benchmarks") else head
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()
