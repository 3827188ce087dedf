"""Nothing is lost in silence."""

import json

from autotrain.data.report import NUM_HELD_ENTRIES, RowsReport
from autotrain.types import Origin


def test_rows_in_is_rows_out_and_left_out():
    report = RowsReport()
    for line in range(1, 11):
        report.seen("train")
        if line % 5 == 0:
            report.left_out("train", Origin("a.csv", line), "empty", "column 'text' is empty")
    report.cut("train", Origin("a.csv", 1), 10, 3)
    assert report.counts() == {
        "train": {"rows_in": 10, "rows_out": 8, "left_out": {"empty": 2}, "rows_cut": 1, "tokens_cut": 3}
    }
    assert report.first_rows("train", "empty") == ("a.csv:5: column 'text' is empty", "a.csv:10: column 'text' is empty")


def test_lists_larger_than_memory_should_hold_are_written_whole(tmp_path):
    report = RowsReport()
    num_rows = 3 * NUM_HELD_ENTRIES + 5
    for line in range(num_rows):
        report.left_out("valid", Origin("a.csv", line), "empty")
    for _ in range(2):  # writing again, and more in between, loses nothing
        report.write(tmp_path / "out.jsonl")
        lines = (tmp_path / "out.jsonl").read_text().splitlines()
        assert [json.loads(line)["line"] for line in lines] == list(range(num_rows))
        report.left_out("valid", Origin("a.csv", num_rows), "empty")
        num_rows += 1
