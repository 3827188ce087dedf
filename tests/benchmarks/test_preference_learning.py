"""The benchmark of preference training reads runs rightly; the runs themselves take minutes and aren't made here."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from autotrain.config.document import Document
from autotrain.config.load import interpret

ROOT = Path(__file__).parents[2]


def load_benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("preference_learning", ROOT / "benchmarks" / "preference_learning.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


benchmark = load_benchmark()


def row(step: int, loss: float, accuracy: float, prefix: str = "") -> dict[str, Any]:
    values = {"loss": loss, "rewards/accuracies": accuracy, "rewards/margins": 0.5}
    return {"step": step, **{prefix + name: value for name, value in values.items()}}


def result() -> Any:
    metrics = [row(0, 0.7, 0.5, "eval_"), *(row(step, 0.6, 0.75) for step in range(1, 8)), row(7, 0.4, 0.9, "eval_")]
    run = {
        "data": {"valid": {"rows_out": 220}},
        "timings": {"train_seconds": 61.4},
        "versions": {"torch": "1", "transformers": "2", "peft": "3"},
        "device": "cpu",
        "resolved": {"precision": "bf16"},
    }
    return benchmark.Result("reward", metrics, run, 100.0)


def test_the_interval_of_80_in_100_is_0711_to_0867() -> None:
    """middle = (0.8 + 3.8415 / 200) / (1 + 3.8415 / 100) = 0.7889; half = 1.96 sqrt(0.0016 + 0.000096) / 1.0384 = 0.0777"""
    low, high = benchmark.wilson(80, 100)
    assert (low, high) == pytest.approx((0.7111, 0.8666), abs=1e-4)


def test_the_interval_stays_between_0_and_1_when_all_are_right() -> None:
    low, high = benchmark.wilson(220, 220)
    assert low == pytest.approx(220 / (220 + 3.8415), abs=1e-4) and high == pytest.approx(1.0)


def test_the_table_has_the_accuracy_of_the_step_whose_model_is_kept() -> None:
    """0.9 of 220 are 198; the lower end of its interval, 0.853, is above 0.6."""
    line = benchmark.table([result()]).splitlines()[-1]
    assert "198 of 220" in line and "0.900" in line and "0.6: yes" in line and "61 s" in line


def test_the_curve_has_means_of_steps_between_the_validations() -> None:
    lines = benchmark.curve(result()).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == ["| after 0", "| 1 to 5", "| 6 to 7", "| after 7"]
    assert lines[1] == "| 1 to 5 | train | 0.600 | 0.750 | 0.500 |"


def test_the_page_keeps_what_stands_around_the_measured_part(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{benchmark.BEGIN}\nold\n{benchmark.END}\nafter\n")
    benchmark.write(page, "new")
    assert page.read_text() == f"before\n{benchmark.BEGIN}\n\nnew\n\n{benchmark.END}\nafter\n"


def test_the_page_of_the_docs_has_the_marks() -> None:
    text = benchmark.PAGE.read_text(encoding="utf-8")
    assert text.count(benchmark.BEGIN) == text.count(benchmark.END) == 1


@pytest.mark.parametrize("method", ["dpo", "orpo", "reward"])
def test_it_trains_the_config_of_the_examples_on_all_pairs(method: str) -> None:
    config = interpret(Document(method, benchmark.config_of(method)), dry_run=True, environment={})
    assert config.params.trainer == method
    assert (config.params.train_split, config.params.valid_split) == ("train", "valid")
