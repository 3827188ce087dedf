"""What a cell of a row holds: text, or turns."""

from collections.abc import Mapping
from typing import Any

from autotrain.data.messages import Message, RowProblem, chat_form, is_empty, parse_messages
from autotrain.data.report import EMPTY


def text_of(cells: Mapping[str, Any], column: str, *, may_be_empty: bool = False) -> str:
    """The text in `column`.  Raises RowProblem if it is none, or if it is empty and may not be."""
    cell = cells.get(column)
    if is_empty(cell):
        if may_be_empty:
            return ""
        raise RowProblem(f"column '{column}' is empty" if column else "the text is empty", EMPTY)
    if not isinstance(cell, str):
        raise RowProblem(f"column '{column}' must be text, not {type(cell).__name__}: {str(cell)[:60]}")
    check_unicode(cell)
    return cell


def turns_of(cells: Mapping[str, Any], column: str, role: str) -> list[Message]:
    """A prompt or an answer: text is one turn of `role`; a list of messages is taken as it is.  Raises RowProblem."""
    cell = cells.get(column)
    if isinstance(cell, str) and not chat_form(cell):
        return [{"role": role, "content": text_of(cells, column)}]
    if isinstance(cell, int | float):
        text_of(cells, column)  # raises
    return parse_messages(cell)


def check_unicode(text: str) -> None:
    """Half of a surrogate pair, as JSON escapes can give, is no character and has no tokens."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowProblem(f"broken Unicode: half of a surrogate pair at character {error.start + 1}") from None
