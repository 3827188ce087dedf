"""A cell becomes a conversation: OpenAI and ShareGPT forms; as a list, as JSON text, or as Python-literal text."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from autotrain.data.report import EMPTY, MALFORMED
from autotrain.python_text import literal

Message = dict[str, Any]

# Python literals are parsed into a syntax tree, which takes about a hundred times their size.
MAX_LITERAL_CHARACTERS = 2_000_000
SHAREGPT_ROLES = MappingProxyType(
    {
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "assistant": "assistant",
        "chatgpt": "assistant",
        "model": "assistant",
        "bot": "assistant",
        "system": "system",
        "function_call": "assistant",
        "tool_call": "assistant",
        "observation": "tool",
        "tool": "tool",
        "function_response": "tool",
        "tool_response": "tool",
    }
)
# A role that is nearly one of these is a slip; any other is the template's business.
_ROLES = ("system", "user", "assistant")
# Text that begins as a list of messages does, whether or not it can be parsed.
_BEGUN = re.compile(r"""\s*\[\s*\{\s*['"](role|content|from|value)['"]\s*:""")
CALL_ROLES = frozenset({"function_call", "tool_call"})


class RowProblem(Exception):
    """Why a row gives no sample: a reason of data/report.py, and what exactly."""

    def __init__(self, detail: str, reason: str = MALFORMED) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason


def parse_literal(text: str) -> Any:
    """The value that JSON text or Python-literal text stands for, or None if it is neither."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > MAX_LITERAL_CHARACTERS:
        return None
    try:
        return literal(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def chat_form(cell: Any) -> str | None:
    """The form, OpenAI or ShareGPT, if `cell` holds a conversation or text meant to be one; otherwise None."""
    if isinstance(cell, str) and (begun := _BEGUN.match(cell)) and parse_literal(cell) is None:
        return "OpenAI" if begun[1] in ("role", "content") else "ShareGPT"
    messages = _as_list(parse_literal(cell) if isinstance(cell, str) else cell)
    if not messages or not isinstance(messages[0], Mapping):
        return None
    first = cast(Mapping[str, Any], messages[0])
    if "role" in first:
        return "OpenAI"
    return "ShareGPT" if "from" in first and "value" in first else None


def is_message(cell: Any) -> Message | None:
    """The message, if `cell` is one message by itself, as an object or as text; otherwise None."""
    if isinstance(cell, str):
        cell = parse_literal(cell) if cell.lstrip().startswith("{") else None
    if not isinstance(cell, Mapping):
        return None
    message = {str(key): value for key, value in cast(Mapping[Any, Any], cell).items()}
    says = ("role" in message and ("content" in message or "tool_calls" in message)) or (
        "from" in message and "value" in message
    )
    return message if says and isinstance(message.get("role", message.get("from")), str) else None


def is_empty(cell: Any) -> bool:
    """Whether there is nothing in the cell: null, white space, an empty list."""
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, list) and not cell)


def parse_messages(cell: Any) -> list[Message]:
    """Messages in the OpenAI form.  Raises RowProblem if the cell is no conversation."""
    if is_empty(cell):
        raise RowProblem("no conversation", EMPTY)
    value = parse_literal(cell) if isinstance(cell, str) else cell
    if value is None:
        raise RowProblem(f"not a conversation but text: {str(cell)[:60]!r}")
    messages = _as_list(value)
    if messages is None:
        raise RowProblem(f"not a conversation: expected a list of messages, found {type(value).__name__}")
    if not messages:
        raise RowProblem("no messages", EMPTY)
    return [_message(message, number) for number, message in enumerate(messages, start=1)]


def _as_list(value: Any) -> list[Any] | None:
    """A list of messages; the columnar form {"role": [...], "content": [...]} is turned into one."""
    if isinstance(value, list | tuple):
        return list(cast(Sequence[Any], value))
    if isinstance(value, Mapping):
        columns = cast(Mapping[str, Any], value)
        if ("role" in columns or "from" in columns) and all(isinstance(column, list) for column in columns.values()):
            lengths = {len(column) for column in columns.values()}
            if len(lengths) == 1:
                return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return None


def _message(message: Any, number: int) -> Message:
    if _is_plain(message):
        return message.copy()
    if not isinstance(message, Mapping):
        raise RowProblem(f"message {number} is no object with role and content, but {type(message).__name__}")
    message = {str(key): value for key, value in cast(Mapping[Any, Any], message).items() if value is not None}
    if "role" in message:
        return _openai_message(message, number)
    if "from" in message:
        return _sharegpt_message(message, number)
    keys = ", ".join(message) or "nothing"
    raise RowProblem(f"message {number} has no role (found: {keys}); expected role and content, or from and value")


def _is_plain(message: Any) -> bool:
    """Whether it is the usual: a known role, a text, nothing else."""
    is_pair = type(message) is dict and len(message) == 2
    return is_pair and message.get("role") in _ROLES and type(message.get("content")) is str


def _openai_message(message: Message, number: int) -> Message:
    role = message["role"]
    if not isinstance(role, str) or not role.strip():
        raise RowProblem(f"message {number}: the role must be text such as user or assistant, not {role!r}")
    if role not in _ROLES:
        _refuse_slip(role, number)
    content = message.get("content")
    calls = _tool_calls(message.get("tool_calls"), number)
    if content is None and not calls:
        raise RowProblem(f"message {number} ({role}) has no content")
    result = {**message, "content": _content(content, number)} if content is not None else {**message, "content": ""}
    result.pop("tool_calls", None)
    return {**result, "tool_calls": calls} if calls else result


def _refuse_slip(role: str, number: int) -> None:
    word = role.strip().lower()
    meant = difflib.get_close_matches(word, _ROLES, n=1, cutoff=0.8) if word.isalpha() else []
    if meant:
        raise RowProblem(f"message {number}: unknown role {role!r}; did you mean {meant[0]!r}?")


def _content(content: Any, number: int) -> str:
    """Text, or a list of text parts, which are joined."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = cast(list[Any], content)
        texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
        if all(isinstance(text, str) for text in texts):
            return "".join(cast(list[str], texts))
        raise RowProblem(f"message {number}: only text can be trained on, but its content has parts of another kind")
    raise RowProblem(f"message {number}: the content must be text, not {type(content).__name__}")


def _tool_calls(calls: Any, number: int) -> list[Message]:
    """Calls with their arguments as objects, which is what templates expect."""
    if isinstance(calls, str):
        calls = parse_literal(calls)
    if not calls:
        return []
    if isinstance(calls, Mapping):
        calls = [calls]
    if not isinstance(calls, list | tuple):
        raise RowProblem(f"message {number}: tool_calls must be a list")
    return [_tool_call(call, number) for call in cast(Sequence[Any], calls)]


def _tool_call(call: Any, number: int) -> Message:
    if not isinstance(call, Mapping):
        raise RowProblem(f"message {number}: a tool call must be an object with name and arguments")
    call = cast(Mapping[str, Any], call)
    function = call.get("function", call)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RowProblem(f"message {number}: a tool call has no name")
    arguments = function.get("arguments", function.get("parameters", {}))
    if isinstance(arguments, str):
        parsed = parse_literal(arguments)
        arguments = parsed if isinstance(parsed, Mapping) else arguments
    rest = {key: value for key, value in call.items() if key in ("id", "index") and value is not None}
    return {**rest, "type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _sharegpt_message(message: Message, number: int) -> Message:
    name = str(message["from"])
    role = SHAREGPT_ROLES.get(name.strip().lower())
    if role is None:
        raise RowProblem(f"message {number}: unknown role {name!r}; known: {', '.join(SHAREGPT_ROLES)}")
    if "value" not in message:
        raise RowProblem(f"message {number} ({name}) has no value")
    value = message["value"]
    if name.strip().lower() in CALL_ROLES:
        calls = parse_literal(value) if isinstance(value, str) else value
        if not calls:
            raise RowProblem(f"message {number}: {name} must be JSON with name and arguments")
        return {"role": role, "content": "", "tool_calls": _tool_calls(calls, number)}
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False) if role == "tool" else _content(value, number)
    return {"role": role, "content": value}


def parse_tools(cell: Any) -> tuple[Message, ...]:
    """Tools as {"type": "function", "function": ...}; the cell is a list, or JSON or Python-literal text."""
    if is_empty(cell):
        return ()
    tools = parse_literal(cell) if isinstance(cell, str) else cell
    if isinstance(tools, Mapping):
        tools = [tools]
    if not isinstance(tools, list | tuple):
        raise RowProblem("tools: expected a list of tools, as JSON")
    return tuple(_tool(tool) for tool in cast(Sequence[Any], tools))


def _tool(tool: Any) -> Message:
    if isinstance(tool, str):
        tool = parse_literal(tool)
    if not isinstance(tool, Mapping):
        raise RowProblem("tools: a tool must be an object with a name")
    tool = {str(key): value for key, value in cast(Mapping[Any, Any], tool).items()}
    if isinstance(tool.get("function"), Mapping):
        return {**tool, "type": tool.get("type") or "function"}
    if "name" not in tool:
        raise RowProblem("tools: a tool has no name")
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}
