"""Prompts read from a file: lines of text, or rows with a prompt, a text or a conversation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autotrain.data.messages import RowProblem, parse_messages
from autotrain.data.read import BARE, READERS, BadRow, read_rows
from autotrain.errors import DataError
from autotrain.output.generate import Message, Prompt

_COLUMNS = ("messages", "conversations", "prompt", "text")


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts in `path`: a line each (.txt), or a row each (.csv, .jsonl, .json, .parquet).

    Raises DataError naming file:line.
    """
    if path.suffix.lower() not in READERS:
        raise DataError(f"{path}: prompts are read from {', '.join(READERS)} files")
    if not path.is_file():
        raise DataError(f"no file {path}; give a file with prompts")
    prompts: list[Prompt] = []
    for row in read_rows(path):
        if isinstance(row, BadRow):
            raise DataError(f"{row.origin}: {row.problem}")
        prompts.append(_prompt(row.cells, str(row.origin)))
    if not prompts:
        raise DataError(f"{path} holds no prompts")
    return prompts


def _prompt(row: Mapping[str, Any], where: str) -> Prompt:
    if BARE in row:
        row = _name_bare(row[BARE])
    column = next((name for name in _COLUMNS if row.get(name)), None)
    if column is None:
        found = ", ".join(str(name) for name in row)
        raise DataError(f"{where}: no column prompt, text or messages with a value; found: {found}")
    value = row[column]
    if column in ("prompt", "text") and isinstance(value, str):
        return value
    return _messages(value, where)


def _name_bare(value: Any) -> Mapping[str, Any]:
    """A JSONL line that is a bare list: of messages, or of one object with a text."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "content" not in value[0]:
        return value[0]
    return {"messages": value}


def _messages(cell: Any, where: str) -> Prompt:
    """Messages up to the question: answers at the end are left out."""
    try:
        turns: list[Message] = list(parse_messages(cell))
    except RowProblem as problem:
        raise DataError(f"{where}: {problem.detail}") from problem
    while turns and turns[-1].get("role") == "assistant":
        turns.pop()
    if not turns:
        raise DataError(f"{where}: the conversation has no turn to answer")
    return turns
