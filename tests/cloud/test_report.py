"""What a machine tells of its end is read back as it was meant."""

import pytest

from autotrain.cloud.report import (
    FAILED,
    FINISHED,
    STOPPED,
    End,
    discussion_text,
    discussion_title,
    end_line,
    read_discussion_reason,
    read_discussion_title,
    read_end_line,
)

ENDS = [
    End(FINISHED, 0, url="https://huggingface.co/me/run"),
    End(FAILED, 2, "data/train.csv:3: no column 'prompt'; found: question"),
    End(STOPPED, 143, "two lines\nof it"),
]


@pytest.mark.parametrize("end", ENDS)
def test_the_last_line_tells_the_end(end: End):
    assert "\n" not in end_line(end) and read_end_line(end_line(end)) == end
    assert read_end_line(f"2026-11-25 05:00:00 {end_line(end)}") == end  # a log with times


@pytest.mark.parametrize(
    "line", ["step 3/9  loss 1.2", "autotrain-end: ", "autotrain-end: {}", 'autotrain-end: {"stage": "x"}']
)
def test_other_lines_tell_nothing(line: str):
    assert read_end_line(line) is None


@pytest.mark.parametrize("end", ENDS)
def test_a_discussion_tells_the_end_of_one_run(end: End):
    title = discussion_title(end, "0a1b")
    assert read_discussion_title(title, "0a1b") == end.stage
    assert read_discussion_title(title, "ffff") is None and read_discussion_title("Thanks!", "0a1b") is None
    assert read_discussion_reason(discussion_text(end, "run")) == end.reason
    assert end.url in discussion_text(end, "run")


def test_a_reason_cant_break_out_of_its_block():
    text = discussion_text(End(FAILED, 1, "```\n# not a heading"), "run")
    assert text.count("```") == 2
