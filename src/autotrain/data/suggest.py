"""Which columns of unknown names probably hold what: a suggestion for a person to confirm, never taken in silence."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from autotrain.data.columns import column_names
from autotrain.data.messages import chat_form, is_empty
from autotrain.data.pairs import SampleKind
from autotrain.types import Row

# The likeliest first; spelt as `_plain` spells them.
_PROMPTS = tuple(
    "prompt question query instruction input user human ask request problem customer client task source context q "
    "问题 提问 问 指令 输入 用户 客户 提示 题目".split()
)
_ANSWERS = tuple(
    "completion answer response output reply assistant bot gpt model solution target expected a "
    "答案 回答 答复 回复 答 输出 响应 助手".split()
)
_TEXTS = tuple("text content body document article passage story sentence message 文本 正文 内容 文章 文".split())
_CHOSEN = tuple("chosen preferred better accepted winner win good best positive 优选 选中 更好 好 正".split())
_REJECTED = tuple("rejected dispreferred worse refused loser lose bad worst negative 拒绝 落选 更差 差 负".split())
_LABELS = tuple("label good isgood thumbsup liked correct accepted rating score 标签 好评 是否好".split())
_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "pair": {"prompt_text_column": _PROMPTS, "text_column": _CHOSEN, "rejected_text_column": _REJECTED},
        "labelled": {"prompt_text_column": _PROMPTS, "text_column": _ANSWERS, "label_column": _LABELS},
    }
)


def suggest_columns(rows: Sequence[Row], kind: SampleKind) -> dict[str, str]:
    """Field of column_mapping -> column, for data that weren't recognised; empty where nothing comes near."""
    columns = [name for name in column_names(rows) if name]
    if kind == "text":
        return _suggest_text(rows, columns)
    found: dict[str, str] = {}
    for field, names in _NAMES[kind].items():
        column = _nearest([one for one in columns if one not in found.values()], names)
        if column:
            found[field] = column
    return found if "text_column" in found else {}


def _suggest_text(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, str]:
    chat = next((name for name in columns if any(chat_form(row.cells.get(name)) for row in rows)), None)
    if chat:
        return {"text_column": chat}
    prompt = _nearest(columns, _PROMPTS)
    answer = _nearest([name for name in columns if name != prompt], _ANSWERS)
    if answer and not prompt:  # whoever is answered may be called anything
        prompt = _longest(rows, [name for name in columns if name != answer])
    elif prompt and not answer:
        answer = _longest(rows, [name for name in columns if name != prompt])
    if prompt and answer:
        return {"prompt_text_column": prompt, "text_column": answer}
    written = [name for name in columns if _size_of(rows, name)]
    text = _nearest(written, _TEXTS)
    if not text and len(written) == 2:
        return {"prompt_text_column": written[0], "text_column": written[1]}
    text = text or _longest(rows, columns)
    return {"text_column": text} if text else {}


def _nearest(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """The column that is called so, or has such a word in its name."""
    for name in names:
        for column in columns:
            if _plain(column) == name:
                return column
    for name in names:
        for column in columns:
            if name in _words(column) or (not name.isascii() and name in column):
                return column
    return None


def _plain(column: str) -> str:
    return re.sub(r"[\W_]+", "", column).lower()


def _words(column: str) -> list[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", column)
    return [word.lower() for word in re.split(r"[\W_]+", spaced) if word]


def _longest(rows: Sequence[Row], columns: Sequence[str]) -> str | None:
    """The column with the most text in it."""
    sizes = {name: _size_of(rows, name) for name in columns}
    best = max(sizes, key=lambda name: sizes[name], default=None)
    return best if best is not None and sizes[best] else None


def _size_of(rows: Sequence[Row], column: str) -> int:
    return sum(_size(row.cells.get(column)) for row in rows)


def _size(cell: Any) -> int:
    """Characters of a text; 0 of a number, which files without types give as text."""
    is_text = isinstance(cell, str) and not is_empty(cell) and not re.fullmatch(r"[\d\s.,:/%+-]*", cell)
    return len(cell) if is_text else 0
