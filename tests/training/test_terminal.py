"""What a run shows, on terminals of any width."""

import io

import pytest
from rich.console import Console

from autotrain.training.terminal import Terminal

ROW = {"step": 5, "loss": 1.25, "learning_rate": 1e-4, "tokens": 4000, "seconds": 1.0}


def shown(width, *, is_terminal):
    output = io.StringIO()
    console = Console(file=output, force_terminal=is_terminal, width=width, color_system=None, soft_wrap=True)
    with Terminal(10, 0, console) as terminal:
        terminal.step(ROW, is_logged=True)
        terminal.samples(5, [{"prompt": "hi", "answer": "a\x1b[2Jb\x00"}])
    return output.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_shows_loss_and_time_left_on_any_width(width):
    last = shown(width, is_terminal=True).split("\n")[-2]
    assert "loss 1.2500" in last
    assert "left" in last
    assert "\u2501" in last
    assert ("lr 1.0e-04" in last) == (width >= 90)


def test_lines_are_whole_without_a_terminal():
    assert "step 5/10  loss 1.2500  lr 1.0e-04  4,000 tokens/s" in shown(60, is_terminal=False)


def test_an_answer_gives_the_terminal_no_commands():
    assert "a\ufffd[2Jb\ufffd" in shown(80, is_terminal=False)
