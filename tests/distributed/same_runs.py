"""What two runs have in common."""

import math
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from autotrain.training.metrics import read_json_lines

_OF_THE_MACHINE = ("seconds", "memory_bytes", "eval_seconds", "epoch")


def assert_same_run(one: Path, other: Path, *, tolerance: float = 2e-5) -> None:
    """Losses, metrics, gradient norms and weights agree to rounding."""
    first, second = (read_json_lines(folder / "metrics.jsonl") for folder in (one, other))
    assert [row["step"] for row in first] == [row["step"] for row in second]
    for before, after in zip(first, second, strict=True):
        assert before.keys() == after.keys()
        for name, value in before.items():
            if name not in _OF_THE_MACHINE:
                close = math.isclose(value, after[name], rel_tol=tolerance, abs_tol=tolerance)
                assert close, f"step {before['step']}, {name}: {value} and {after[name]}"
    assert_same_weights(one, other, tolerance=max(1e-4, tolerance))


def assert_same_weights(one: Path, other: Path, *, tolerance: float = 1e-4) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        worst = float((value.float() - second[name].float()).abs().max())
        assert worst <= tolerance * max(1.0, float(value.float().abs().max())), f"{name}: {worst}"


def weights(folder: Path) -> dict[str, Any]:
    file = next(file for name in ("adapter_model", "model") if (file := folder / f"{name}.safetensors").is_file())
    return load_file(file)
