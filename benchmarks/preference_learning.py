"""Do DPO, ORPO and reward models learn?  Trains each on examples/preference and says how often it is right.

    python benchmarks/preference_learning.py                   # prints the tables
    python benchmarks/preference_learning.py --write           # puts them into docs/preference-learning.md, too

Each run is the config of examples/ on all pairs of train and valid, started as a user starts it, through the command
line.  The accuracy is eval_rewards/accuracies of metrics.jsonl at the step whose model is kept.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "preference-learning.md"
# Method -> the accuracy that its whole interval should lie above.
METHODS = {"dpo": 0.5, "orpo": 0.5, "reward": 0.6}
ACCURACY, MARGIN = "rewards/accuracies", "rewards/margins"
Z_95 = 1.959964
STEPS_PER_POINT = 5
BEGIN, END = "<!-- measured: written by benchmarks/preference_learning.py -->", "<!-- end of what was measured -->"


@dataclass(frozen=True)
class Result:
    """What one run left.  metrics: rows of metrics.jsonl.  run: run.json.  seconds: of the whole command."""

    method: str
    metrics: Sequence[dict[str, Any]]
    run: dict[str, Any]
    seconds: float

    @property
    def num_pairs(self) -> int:
        return self.run["data"]["valid"]["rows_out"]

    def validation(self, step: int) -> dict[str, Any]:
        """The row of the validation at `step`."""
        return next(row for row in self.metrics if "eval_loss" in row and row["step"] == step)

    @property
    def kept_step(self) -> int:
        """The step whose model is the result: the one with the best validation loss."""
        return min((row["eval_loss"], row["step"]) for row in self.metrics if "eval_loss" in row and row["step"] > 0)[1]


def wilson(num_right: int, num_all: int, z: float = Z_95) -> tuple[float, float]:
    """The interval that holds the true share with 95 % confidence.  (Wilson, JASA 22, 1927)"""
    share = num_right / num_all
    middle = (share + z * z / (2 * num_all)) / (1 + z * z / num_all)
    half = z * math.sqrt(share * (1 - share) / num_all + z * z / (4 * num_all**2)) / (1 + z * z / num_all)
    return middle - half, middle + half


def config_of(method: str) -> dict[str, Any]:
    """The example's config, on all pairs, from an absolute path, with every step on record."""
    config = yaml.safe_load((ROOT / "examples" / f"{method}.yml").read_text(encoding="utf-8"))
    config["data"] |= {"path": str(ROOT / "examples" / "preference"), "train_split": "train", "valid_split": "valid"}
    config["project_name"] = method
    config["params"] |= {"logging_steps": 1, "num_sample_prompts": 0}
    return config


def train(method: str, folder: Path) -> Result:
    """Run the config in `folder`.  Raises subprocess.CalledProcessError if the run fails."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{method}.yml"
    file.write_text(yaml.safe_dump(config_of(method), sort_keys=False), encoding="utf-8")
    started = time.monotonic()
    command = [sys.executable, "-m", "autotrain", "--config", file.name, "--overwrite"]
    subprocess.run(command, cwd=folder, check=True)
    return read(method, folder / method, time.monotonic() - started)


def read(method: str, folder: Path, seconds: float) -> Result:
    """The run that lies in `folder`."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return Result(method, [json.loads(line) for line in lines], run, seconds)


def table(results: Sequence[Result]) -> str:
    """A line a method: accuracy on the validation pairs, its interval, and what it took."""
    lines = [
        "| method | right, of valid pairs | accuracy | 95 % interval | should lie above | training | whole command |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for result in results:
        accuracy = result.validation(result.kept_step)[f"eval_{ACCURACY}"]
        num_right = round(accuracy * result.num_pairs)
        low, high = wilson(num_right, result.num_pairs)
        goal = METHODS[result.method]
        cells = (
            f"`{result.method}`",
            f"{num_right} of {result.num_pairs}",
            f"{accuracy:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{goal}: {'yes' if low > goal else 'no'}",
            f"{result.run['timings']['train_seconds']:.0f} s",
            f"{result.seconds:.0f} s",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def curve(result: Result) -> str:
    """Means over a few steps of training, with the validations between them."""
    lines = [f"| steps | pairs | loss | `{ACCURACY}` | `{MARGIN}` |", "| --- | --- | --- | --- | --- |"]
    steps = [row for row in result.metrics if "loss" in row]
    validations = [row for row in result.metrics if "eval_loss" in row]
    points = [steps[start : start + STEPS_PER_POINT] for start in range(0, len(steps), STEPS_PER_POINT)]
    rows = [(row["step"], _point(f"after {row['step']}", "valid", [row], "eval_")) for row in validations]
    rows += [
        (point[0]["step"] - 0.5, _point(f"{point[0]['step']} to {point[-1]['step']}", "train", point, ""))
        for point in points
    ]
    return "\n".join([*lines, *(line for _, line in sorted(rows))])


def _point(steps: str, split: str, rows: Sequence[dict[str, Any]], prefix: str) -> str:
    means = [sum(row[prefix + name] for row in rows) / len(rows) for name in ("loss", ACCURACY, MARGIN)]
    return f"| {steps} | {split} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"


def report(results: Sequence[Result]) -> str:
    """The measured part of the page."""
    run = results[0].run
    versions = ", ".join(f"{name} {run['versions'][name]}" for name in ("torch", "transformers", "peft"))
    where = f"On {run['device']}; precision {run['resolved']['precision']}; {versions}."
    curves = [f"### {result.method}\n\n{curve(result)}" for result in results]
    return "\n\n".join([where, table(results), *curves])


def write(page: Path, text: str) -> None:
    """Put `text` between the two marks of the page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--output", type=Path, default=Path("build/preference-learning"), help="folder for the runs")
    parser.add_argument("--write", action="store_true", help=f"write the result into {PAGE.relative_to(ROOT)}")
    arguments = parser.parse_args()
    text = report([train(method, arguments.output.resolve()) for method in arguments.methods])
    sys.stdout.write(text + "\n")
    if arguments.write:
        write(PAGE, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
