"""metrics.jsonl is JSON, line by line, and can be cut back to a checkpoint."""

import json
import math
from pathlib import Path

from autotrain.training.metrics import JsonLines, read_json_lines


def test_numbers_that_are_not_finite_become_null(tmp_path: Path):
    file = JsonLines(tmp_path / "m.jsonl")
    file.append({"step": 1, "grad_norm": math.inf, "loss": math.nan, "lr": 0.5, "text": "a"})
    file.close()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    line = (tmp_path / "m.jsonl").read_text()
    assert json.loads(line, parse_constant=refuse) == {"step": 1, "grad_norm": None, "loss": None, "lr": 0.5, "text": "a"}


def test_what_came_after_the_checkpoint_is_cut_off(tmp_path: Path):
    file = JsonLines(tmp_path / "m.jsonl")
    file.append({"step": 1})
    length = file.length_bytes
    file.append({"step": 2})
    file.close()
    again = JsonLines(tmp_path / "m.jsonl", length_bytes=length)
    again.append({"step": 2, "again": True})
    again.close()
    assert read_json_lines(tmp_path / "m.jsonl") == [{"step": 1}, {"step": 2, "again": True}]


def test_an_unfinished_last_line_is_left_out(tmp_path: Path):
    (tmp_path / "m.jsonl").write_text('{"step": 1}\n{"st')
    assert read_json_lines(tmp_path / "m.jsonl") == [{"step": 1}]
    assert read_json_lines(tmp_path / "none.jsonl") == []
