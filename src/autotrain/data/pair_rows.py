"""A row becomes a pair or a labelled answer: its prompt is found, and what can't be compared is refused."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from autotrain.data.cells import check_unicode, text_of, turns_of
from autotrain.data.dialogue_text import answer_start, ends_with_question, hh_turns, is_hh
from autotrain.data.messages import Message, RowProblem, chat_form, is_empty, is_message, parse_messages, parse_tools
from autotrain.data.pairs import PairForm
from autotrain.data.report import (
    DIFFERENT_DIALOGUES,
    EMPTY_ANSWER,
    IDENTICAL_ANSWERS,
    NO_ASSISTANT_TURN,
    NO_PROMPT,
)
from autotrain.types import Labelled, Preference, Row

Part = str | tuple[Message, ...]
GOOD_LABELS = frozenset("true 1 1.0 yes good 是 好".split())
BAD_LABELS = frozenset("false 0 0.0 no bad 否 坏".split())
# What of a turn can differ for a reader; scores and names of sources that data sets add to turns can't.
COMPARED_KEYS = ("role", "content", "tool_calls")


def to_preference(row: Row, form: PairForm) -> Preference:
    """Raises RowProblem if the row gives no pair."""
    prompt, (chosen, rejected) = _parts(row.cells, form)
    if _is_same(chosen, rejected):
        raise RowProblem("chosen and rejected are the same", IDENTICAL_ANSWERS)
    margin = _margin(row.cells, form.margin) if form.margin else 0.0
    return Preference(prompt, chosen, rejected, row.origin, _tools(row.cells, form), margin)


def to_labelled(row: Row, form: PairForm) -> Labelled:
    """Raises RowProblem if the row gives no labelled answer."""
    label = _label(row.cells, form.label or "")
    prompt, (completion,) = _parts(row.cells, form)
    return Labelled(prompt, completion, label, row.origin, _tools(row.cells, form))


def _parts(cells: Mapping[str, Any], form: PairForm) -> tuple[Part, tuple[Part, ...]]:
    """The prompt, and the answers to it."""
    for column in form.answers:
        if is_empty(cells.get(column)):
            raise RowProblem(f"column '{column}' is empty", EMPTY_ANSWER)
    if form.is_conversation:
        return _turns(cells, form)
    return _dialogue_texts(cells, form) if form.shape == "dialogue" else _texts(cells, form)


def _texts(cells: Mapping[str, Any], form: PairForm) -> tuple[str, tuple[str, ...]]:
    texts = tuple(text_of(cells, column) for column in form.answers)
    prompt = text_of(cells, form.prompt, may_be_empty=True) if form.prompt else ""
    if form.repeats_prompt and all(text.startswith(prompt) for text in texts):
        texts = tuple(text[len(prompt) :] for text in texts)
    _check_prompt(prompt, form)
    for column, text in zip(form.answers, texts, strict=True):
        if not text.strip():
            raise RowProblem(f"column '{column}' is empty but for the prompt", EMPTY_ANSWER)
    return prompt, texts


def _dialogue_texts(cells: Mapping[str, Any], form: PairForm) -> tuple[str, tuple[str, ...]]:
    """Cut whole dialogues after the last header of the assistant."""
    texts = [text_of(cells, column) for column in form.answers]
    starts = [answer_start(text) for text in texts]
    prompt = texts[0][: starts[0]]
    if any(text[:start] != prompt for text, start in zip(texts, starts, strict=True)):
        raise RowProblem("the texts aren't the same up to the last turn", DIFFERENT_DIALOGUES)
    _check_prompt(prompt, form)
    answers = tuple(text[len(prompt) :] for text in texts)
    for column, text, answer in zip(form.answers, texts, answers, strict=True):
        if ends_with_question(text):
            raise RowProblem(f"column '{column}': the dialogue ends with a question", NO_ASSISTANT_TURN)
        if not answer.strip():
            raise RowProblem(f"column '{column}': the answer is empty", EMPTY_ANSWER)
    return prompt, answers


def _turns(cells: Mapping[str, Any], form: PairForm) -> tuple[tuple[Message, ...], tuple[tuple[Message, ...], ...]]:
    sides = [_side(cells, column, form) for column in form.answers]
    prompt = None if form.is_whole else _prompt_turns(cells, form)
    if prompt is None:
        prompt = sides[0][:-1]
        if not all(_is_same(side[:-1], prompt) for side in sides):
            raise RowProblem("the dialogues aren't the same up to the last turn", DIFFERENT_DIALOGUES)
        sides = [side[-1:] for side in sides]
    for column, side in zip(form.answers, sides, strict=True):
        _check_answer(column, side)
    _check_prompt(prompt, form)
    if form.adds_system and not (prompt and prompt[0]["role"] == "system"):
        prompt = [{"role": "system", "content": ""}, *prompt]
    for turn in (*prompt, *(turn for side in sides for turn in side)):
        check_unicode(turn["content"])
    return tuple(prompt), tuple(map(tuple, sides))


def _side(cells: Mapping[str, Any], column: str, form: PairForm) -> list[Message]:
    cell = cells[column]
    if form.shape == "dialogue" and isinstance(cell, str) and is_hh(cell):
        return hh_turns(text_of(cells, column))
    message = is_message(cell)
    return turns_of(cells, column, "assistant") if message is None else parse_messages([message])


def _prompt_turns(cells: Mapping[str, Any], form: PairForm) -> list[Message]:
    cell = cells.get(form.prompt or "")
    if is_empty(cell):
        return []
    if isinstance(cell, str) and is_hh(cell):
        turns = hh_turns(cell)
        return turns[:-1] if turns[-1]["role"] == "assistant" and not turns[-1]["content"] else turns
    message = is_message(cell)
    if isinstance(cell, str) and message is None and not chat_form(cell):
        return [{"role": "user", "content": cell}]
    return parse_messages(cell if message is None else [message])


def _check_answer(column: str, side: Sequence[Message]) -> None:
    if len(side) != 1:
        raise RowProblem(
            f"column '{column}' holds {len(side)} turns after the prompt; one can be compared", DIFFERENT_DIALOGUES
        )
    (answer,) = side
    if answer["role"] != "assistant":
        raise RowProblem(f"column '{column}': the last turn is of {answer['role']}, not of assistant", NO_ASSISTANT_TURN)
    if not answer["content"].strip() and not answer.get("tool_calls"):
        raise RowProblem(f"column '{column}': the answer is empty", EMPTY_ANSWER)


def _check_prompt(prompt: str | Sequence[Message], form: PairForm) -> None:
    is_missing = not prompt.strip() if isinstance(prompt, str) else not prompt
    if is_missing and form.needs_prompt:
        where = f"column '{form.prompt}' is empty" if form.prompt else "there is no turn before the answer"
        raise RowProblem(where, NO_PROMPT)


def _is_same(one: Part | Sequence[Message], other: Part | Sequence[Message]) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return [_compared(turn) for turn in one] == [_compared(turn) for turn in other]


def _compared(turn: Message) -> list[Any]:
    return [turn.get(key) for key in COMPARED_KEYS]


def _tools(cells: Mapping[str, Any], form: PairForm) -> tuple[Message, ...]:
    return parse_tools(cells.get(form.tools)) if form.tools and form.is_conversation else ()


def _margin(cells: Mapping[str, Any], column: str) -> float:
    cell = cells.get(column)
    if is_empty(cell):
        return 0.0
    try:
        margin = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        margin = math.nan
    if not math.isfinite(margin):
        raise RowProblem(f"column '{column}' must be a number, not {cell!r}")
    return margin


def _label(cells: Mapping[str, Any], column: str) -> bool:
    cell = cells.get(column)
    said = str(cell).strip().lower()
    if said in GOOD_LABELS:
        return True
    if said in BAD_LABELS:
        return False
    raise RowProblem(f"column '{column}' must be true or false (or 1 or 0, yes or no, good or bad), not {cell!r}")
