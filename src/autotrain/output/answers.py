"""How answers to a list of prompts are written: JSON lines for programs, blocks to read on a terminal."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

# Answer by answer: prompt, answer, and base_answer where the base model was asked too.
Write = Callable[[Mapping[str, Any]], None]


def answer_writer(file: TextIO | None, num_prompts: int) -> Write:
    """Write into `file`; without one onto standard output, for a person where that is a terminal."""
    if file is None and sys.stdout.isatty():
        return _Blocks(Console(file=sys.stdout, highlight=False), num_prompts).write
    target = file or sys.stdout

    def write(answer: Mapping[str, Any]) -> None:
        target.write(json.dumps(answer, ensure_ascii=False) + "\n")
        target.flush()

    return write


class _Blocks:
    def __init__(self, console: Console, num_prompts: int) -> None:
        self._console = console
        self._num_prompts = num_prompts
        self._num_written = 0

    def write(self, answer: Mapping[str, Any]) -> None:
        self._num_written += 1
        if self._num_prompts > 1:
            self._console.rule(f"{self._num_written} of {self._num_prompts}", style="dim", align="left")
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row("asked", Text(_question(answer["prompt"]), style="bold"))
        if "base_answer" in answer:
            table.add_row("base", Text(answer["base_answer"]))
        table.add_row("tuned" if "base_answer" in answer else "answer", Text(answer["answer"]))
        self._console.print(table)
        self._console.print()


def _question(prompt: Any) -> str:
    """A text as it is; of a conversation, the turns that lead to the answer."""
    if isinstance(prompt, str):
        return prompt
    return "\n".join(f"{turn.get('role')}: {turn.get('content') or ''}" for turn in prompt)
