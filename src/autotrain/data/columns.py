"""Which columns hold what: by mapping where there is one, otherwise recognised."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from autotrain import log
from autotrain.data.messages import RowProblem, chat_form, is_empty, parse_messages
from autotrain.data.read import BARE
from autotrain.errors import DataError
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Row

Kind = Literal["text", "conversation", "alpaca", "prompt_completion"]

CHAT_COLUMNS = ("messages", "conversations", "conversation")
TOOLS_COLUMN = "tools"
_COLUMNS_OF_OTHERS = ("system", "history")


@dataclass(frozen=True, slots=True)
class Form:
    """What the rows are.  `style` is OpenAI or ShareGPT for conversations."""

    kind: Kind
    text: str
    prompt: str | None = None
    input: str | None = None
    tools: str | None = None
    style: str = ""

    def describe(self) -> str:
        """In words, for the one line that says what was recognised."""
        if self.text == BARE:
            return (
                f"conversations in bare lists ({self.style} form)" if self.kind == "conversation" else "text in bare lists"
            )
        if self.kind == "conversation":
            tools = f", tools in column '{self.tools}'" if self.tools else ""
            return f"conversations in column '{self.text}' ({self.style} form){tools}"
        if self.kind == "alpaca":
            names = ", ".join(f"'{name}'" for name in (self.prompt, self.input, self.text) if name)
            return f"instructions and answers in columns {names} (Alpaca form)"
        if self.kind == "prompt_completion":
            return f"prompts in column '{self.prompt}', answers in column '{self.text}'"
        return f"plain text in column '{self.text}'"


def column_names(rows: Sequence[Row]) -> tuple[str, ...]:
    """All columns of these rows, in order of appearance."""
    return tuple(dict.fromkeys(name for row in rows for name in row.cells))


def recognise(params: LLMTrainingParams, rows: Sequence[Row], name: str) -> Form:
    """The form of a data set by its first rows.  Raises DataError that says which columns exist and what to set.

    name: of the file or data set, for messages.
    """
    form = _form(params, rows, column_names(rows), name)
    _name_unused(form, rows)
    return form


def _form(params: LLMTrainingParams, rows: Sequence[Row], columns: tuple[str, ...], name: str) -> Form:
    if BARE in columns:
        return _form_of_column(BARE, rows, columns)
    if params.is_explicit("text_column"):
        return _mapped(params, rows, columns, name)
    if params.is_explicit("prompt_text_column") and params.prompt_text_column:
        require_column(params.prompt_text_column, "prompt_text_column", columns, name)
    return _recognised(params, rows, columns, name)


def _name_unused(form: Form, rows: Sequence[Row]) -> None:
    """Columns that other tools put into the conversation."""
    if form.kind == "text":
        return
    for column in _COLUMNS_OF_OTHERS:
        if any(not is_empty(row.cells.get(column)) for row in rows):
            log.notice(f"column '{column}' isn't used; what it says belongs into the conversation, as messages")


def _mapped(params: LLMTrainingParams, rows: Sequence[Row], columns: tuple[str, ...], name: str) -> Form:
    text, prompt = params.text_column, params.prompt_text_column
    require_column(text, "text_column", columns, name)
    form = _form_of_column(text, rows, columns)
    if prompt is None:
        if text == "output" and form.kind == "text" and "instruction" in columns:
            log.notice("text_column is 'output', so 'instruction' isn't used; leave column_mapping out for the Alpaca form")
        return form
    if prompt not in columns:
        log.notice(f"prompt_text_column: no column '{prompt}' in {name}; it isn't needed and is left aside")
        return form
    if form.kind == "conversation" and not _begins_with_answer(text, rows):
        log.notice(f"prompt_text_column '{prompt}' isn't used: column '{text}' holds whole conversations")
        return form
    return Form("prompt_completion", text, prompt=prompt, tools=form.tools or tools_column(columns))


def _recognised(params: LLMTrainingParams, rows: Sequence[Row], columns: tuple[str, ...], name: str) -> Form:
    chat = next((column for column in CHAT_COLUMNS if column in columns), None)
    if "text" in columns:
        if chat:
            log.notice(
                f"{name} has columns 'text' and '{chat}'; 'text' is used. For the other: column_mapping.text_column: {chat}"
            )
        return _form_of_column("text", rows, columns)
    if chat:
        return _form_of_column(chat, rows, columns)
    if "instruction" in columns and "output" in columns:
        return Form("alpaca", "output", prompt="instruction", input="input" if "input" in columns else None)
    prompt = params.prompt_text_column or "prompt"
    if prompt in columns and "completion" in columns:
        return Form("prompt_completion", "completion", prompt=prompt, tools=tools_column(columns))
    raise DataError(
        f"{name}: nothing to train on was recognised; columns: {', '.join(columns) or 'none'}. Expected text, messages, "
        f"conversations, instruction and output, or prompt and completion; or name the column: column_mapping.text_column"
        f" (and column_mapping.prompt_text_column, where the question stands apart)"
        f"{_suggestion(columns)}{_separator_hint(columns)}"
    )


def _suggestion(columns: Sequence[str]) -> str:
    if {"chosen", "rejected"} <= set(columns):
        return ". These look like pairs of answers: task: llm-dpo, llm-orpo or llm-reward"
    known = ("text", *CHAT_COLUMNS, "instruction", "output", "prompt", "completion")
    for column in columns:
        if column in known:
            continue  # one of two columns that are needed
        near = difflib.get_close_matches(column.lower(), known, n=1, cutoff=0.7)
        if near:
            return f" (the nearest: '{column}', like '{near[0]}')"
    return ""


def _form_of_column(column: str, rows: Sequence[Row], columns: tuple[str, ...]) -> Form:
    """Conversation if at least half of the filled cells are, or if the column's name says so."""
    cells = [row.cells[column] for row in rows if not is_empty(row.cells.get(column))]
    styles = [style for style in map(chat_form, cells) if style]
    if cells and 2 * len(styles) >= len(cells):
        return Form("conversation", column, tools=tools_column(columns), style=styles[0])
    if column in CHAT_COLUMNS:
        return Form("conversation", column, tools=tools_column(columns), style="OpenAI")
    return Form("text", column)


def tools_column(columns: Sequence[str]) -> str | None:
    """The column with the tools on offer, if there is one."""
    return TOOLS_COLUMN if TOOLS_COLUMN in columns else None


def _begins_with_answer(column: str, rows: Sequence[Row]) -> bool:
    """Whether the lists in `column` are answers rather than whole conversations."""
    for row in rows:
        try:
            return parse_messages(row.cells.get(column))[0]["role"] == "assistant"
        except RowProblem:
            continue
    return False


def require_column(column: str, key: str, columns: Sequence[str], name: str) -> None:
    """Raise DataError unless `column`, which column_mapping.`key` is for, is among `columns`."""
    if column in columns:
        return
    near = difflib.get_close_matches(column, columns, n=1, cutoff=0.6) or [
        other for other in columns if other.lower() == column.lower()
    ]
    guess = f"; did you mean '{near[0]}'?" if near else ""
    raise DataError(
        f"{name}: no column '{column}'; columns: {', '.join(columns)}{guess or '.'} "
        f"Set column_mapping.{key} to one of them.{_separator_hint(columns)}"
    )


def _separator_hint(columns: Sequence[str]) -> str:
    if len(columns) == 1:
        for separator, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in columns[0]:
                return f" The cells seem to be separated by {word}; a CSV file needs commas."
    return ""
