"""What the user sees: a summary, a progress bar, validation results, answers, and what to do next.

On a terminal the bar moves; elsewhere there is one plain line a logged step.
"""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from autotrain import log
from autotrain.log import mask

_MAX_SHOWN = 400  # characters of a sample answer
_MIN_COLUMNS_FOR_LR = 90  # on a narrower terminal the bar and the time left matter more
# An untrained model answers anything, terminal commands included.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def duration(seconds: float) -> str:
    """Seconds as a person would say them: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Terminal:
    """Shows a run on standard output.  A context manager while training."""

    def __init__(self, total_steps: int, first_step: int, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self._total = total_steps
        self._step = self._first_step = first_step
        self._started = time.monotonic()
        self._tokens_before: int | None = None
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> "Terminal":
        if self.console.is_terminal:
            columns = (
                SpinnerColumn(),
                TextColumn("step {task.completed}/{task.total}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[text]}"),
            )
            self._bar = Progress(*columns, console=self.console)
            self._bar.start()
            self._task = self._bar.add_task("train", total=self._total, completed=self._first_step, text="first step ...")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.stop()
            self._bar = None

    def step(self, row: Mapping[str, Any], is_logged: bool) -> None:
        """row: as in metrics.jsonl; tokens and seconds count from the beginning of the run."""
        self._step = row["step"]
        text = self._step_text(row)
        line = f"step {row['step']}/{self._total}  {text}"
        if self._bar:
            shown = text if self.console.width >= _MIN_COLUMNS_FOR_LR else self._step_text(row, with_lr=False)
            self._bar.update(self._task, completed=row["step"], text=shown)
            if is_logged:
                log.record(line)
        elif is_logged:
            self._say(line)

    def _step_text(self, row: Mapping[str, Any], *, with_lr: bool = True) -> str:
        seconds_a_step = (time.monotonic() - self._started) / max(1, row["step"] - self._first_step)
        left = duration(seconds_a_step * (self._total - row["step"]))
        speed = row["tokens"] / row["seconds"] if row["seconds"] else 0.0
        lr = f"  lr {row['learning_rate']:.1e}" if with_lr else ""
        return f"loss {row['loss']:.4f}{lr}  {speed:,.0f} tokens/s  {left} left"

    def validation(self, row: Mapping[str, Any], best: bool) -> None:
        when = "before training" if row["step"] == 0 else f"step {row['step']}"
        mark = "  (best so far)" if best else ""
        self._say(f"validation, {when}: loss {row['eval_loss']:.4f}{mark}", style="bold")

    def samples(self, step: int, samples: Sequence[Mapping[str, Any]]) -> None:
        for sample in samples:
            self._say(f"  asked: {_short(sample['prompt'])}", style="dim")
            self._say(f"  model: {_short(sample['answer'])}")

    def _say(self, text: str, style: str | None = None) -> None:
        text = _printable(text)
        log.record(text)
        self.console.print(escape(mask(text)), style=style)


def _short(text: str) -> str:
    text = " ".join(str(text).split())
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + " ..."


def _printable(text: str) -> str:
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def show_facts(console: Console, title: str, facts: Sequence[tuple[str, str]]) -> None:
    """A two-column table of names and values; plain lines where the output is no terminal."""
    facts = [(name, _printable(value)) for name, value in facts]
    for name, value in facts:
        log.record(f"{name}: {value}")
    if not console.is_terminal:
        for name, value in facts:
            console.print(escape(mask(f"{name}: {value}")))
        return
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, escape(mask(value)))
    console.print(table)
