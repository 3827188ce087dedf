"""Preference data and labelled answers: which columns hold what, and where the prompt is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from autotrain import log
from autotrain.data.columns import CHAT_COLUMNS, column_names, require_column, tools_column
from autotrain.data.dialogue_text import answer_start, is_hh
from autotrain.data.messages import RowProblem, chat_form, is_empty, is_message, parse_messages
from autotrain.data.read import BARE
from autotrain.data.templates import is_explicit_none
from autotrain.errors import DataError
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Row

SampleKind = Literal["text", "pair", "labelled"]
# turns: answers are messages, the last turns of a dialogue or the whole of it.  dialogue: each text is a whole dialogue.
# text: the answer's text alone (of reward models also: any text).
Shape = Literal["turns", "dialogue", "text"]

PROMPT_COLUMNS = ("prompt", *CHAT_COLUMNS)
MARGIN_COLUMN = "margin"


@dataclass(frozen=True, slots=True)
class PairForm:
    """What the rows are.  answers: the columns chosen and rejected, or completion.  style: of messages.

    is_whole: answers hold whole dialogues, so that the prompt is what they share.  needs_prompt: a row without a
    prompt is left out.  repeats_prompt: the answers' texts begin with the prompt.  adds_system: dialogues without a
    system turn get an empty one.
    """

    answers: tuple[str, ...]
    shape: Shape
    is_whole: bool
    is_conversation: bool
    needs_prompt: bool
    prompt: str | None = None
    tools: str | None = None
    margin: str | None = None
    label: str | None = None
    style: str = ""
    repeats_prompt: bool = False
    adds_system: bool = False

    def describe(self) -> str:
        """In words, for the one line that says what was recognised."""
        columns = " and ".join(f"'{column}'" for column in self.answers)
        more = "".join(
            f", {what} in column '{column}'"
            for what, column in (("labels", self.label), ("margins", self.margin), ("tools", self.tools))
            if column
        )
        what = "pairs of" if self.label is None else "labelled"
        if self.is_whole:
            style = f" ({self.style} form)" if self.style else ""
            prompt = "the prompt is what they share" if self.label is None else "the last turn is the answer"
            return f"{what} dialogues in {columns}{style}, {prompt}{more}"
        if self.prompt is None:
            return f"{what} texts in {columns}, without prompts{more}"
        repeated = ", which repeat the prompt" if self.repeats_prompt else ""
        return f"prompts in column '{self.prompt}', {what} answers in {columns}{repeated}{more}"


def recognise_pairs(params: LLMTrainingParams, rows: Sequence[Row], name: str, kind: SampleKind) -> PairForm:
    """The form of preference data (kind "pair") or of labelled answers by their first rows.

    name: of the file or data set, for messages.  Raises DataError that says which columns exist and what to set.
    """
    columns = column_names(rows)
    if BARE in columns:
        raise DataError(f"{name}: bare lists have no columns; rows must be objects with {_wanted(kind)}")
    answers = _answer_columns(params, columns, name, kind)
    shape, style = _shape(rows, answers)
    is_whole = shape == "dialogue" or (shape == "turns" and _hold_whole_dialogues(rows, answers))
    prompt = None if is_whole else _prompt_column(params, columns, answers, name)
    if is_whole:
        _say_prompt_unused(params, answers)
    needs_prompt = params.trainer != "reward"
    if prompt is None and not is_whole and needs_prompt:
        raise DataError(
            f"{name}: no prompts: columns {_quoted(answers)} hold answers only, or texts in which no turns are to be seen; "
            f"columns: {', '.join(columns)}. Set column_mapping.prompt_text_column to the column with the prompts"
        )
    return PairForm(
        answers=answers,
        shape=shape,
        is_whole=is_whole,
        is_conversation=_decide_template(params, rows, answers, prompt, shape, name),
        needs_prompt=needs_prompt,
        prompt=prompt,
        tools=tools_column(columns),
        margin=MARGIN_COLUMN if params.trainer == "reward" and MARGIN_COLUMN in columns else None,
        label=_label_column(params, columns, name) if kind == "labelled" else None,
        style=style or (_style(rows, prompt) if prompt else ""),
        repeats_prompt=prompt is not None and shape == "text" and _repeats_prompt(rows, prompt, answers),
        adds_system=params.chat_template == "zephyr",
    )


def _wanted(kind: SampleKind) -> str:
    return "chosen and rejected" if kind == "pair" else "prompt, completion and label"


def _quoted(columns: Sequence[str]) -> str:
    return " and ".join(f"'{column}'" for column in columns)


def _answer_columns(params: LLMTrainingParams, columns: tuple[str, ...], name: str, kind: SampleKind) -> tuple[str, ...]:
    first = "chosen" if kind == "pair" else "completion"
    text = params.text_column if params.is_explicit("text_column") else first
    require_column(text, "text_column", columns, name)
    if kind == "labelled":
        return (text,)
    rejected = params.rejected_text_column or "rejected"
    require_column(rejected, "rejected_text_column", columns, name)
    if text == rejected:
        raise DataError(f"{name}: text_column and rejected_text_column both name '{text}'; they must be two columns")
    return (text, rejected)


def _label_column(params: LLMTrainingParams, columns: tuple[str, ...], name: str) -> str:
    require_column(params.label_column, "label_column", columns, name)
    return params.label_column


def _prompt_column(params: LLMTrainingParams, columns: tuple[str, ...], answers: tuple[str, ...], name: str) -> str | None:
    mapped = params.prompt_text_column
    if mapped and (mapped in columns or params.trainer != "reward"):
        require_column(mapped, "prompt_text_column", columns, name)
        return mapped
    if mapped:
        log.notice(f"prompt_text_column: no column '{mapped}' in {name}; it isn't needed and is left aside")
    return next((column for column in PROMPT_COLUMNS if column in columns and column not in answers), None)


def _say_prompt_unused(params: LLMTrainingParams, answers: tuple[str, ...]) -> None:
    if params.prompt_text_column:
        log.notice(
            f"prompt_text_column '{params.prompt_text_column}' isn't used: {_quoted(answers)} hold whole dialogues; "
            "the prompt is all but the last turn"
        )


def _shape(rows: Sequence[Row], answers: tuple[str, ...]) -> tuple[Shape, str]:
    """What at least half of the filled cells are, and the form of messages."""
    cells = _filled(rows, answers)
    num_turns = sum(_is_turns(cell) for cell in cells)
    if cells and 2 * num_turns >= len(cells):
        first = next(cell for cell in cells if _is_turns(cell))
        return "turns", chat_form(first) or chat_form([is_message(first)]) or ""
    if cells and 2 * sum(isinstance(cell, str) and answer_start(cell) > 0 for cell in cells) >= len(cells):
        return "dialogue", ""
    return "text", ""


def _filled(rows: Sequence[Row], columns: Sequence[str]) -> list[Any]:
    return [row.cells[column] for row in rows for column in columns if not is_empty(row.cells.get(column))]


def _is_turns(cell: Any) -> bool:
    return chat_form(cell) is not None or is_message(cell) is not None


def _hold_whole_dialogues(rows: Sequence[Row], answers: tuple[str, ...]) -> bool:
    """Whether at least half of the lists begin with someone else than the assistant, who speaks in the end."""
    num_whole = num_seen = 0
    for cell in _filled(rows, answers):
        try:
            turns = parse_messages(cell)
        except RowProblem:
            continue
        num_seen += 1
        num_whole += any(turn["role"] != "assistant" for turn in turns)
    return num_whole > 0 and 2 * num_whole >= num_seen


def _style(rows: Sequence[Row], prompt: str) -> str:
    return next((style for cell in _filled(rows, [prompt]) if (style := chat_form(cell))), "")


def _repeats_prompt(rows: Sequence[Row], prompt: str, answers: tuple[str, ...]) -> bool:
    """Whether all answers begin with their prompt, as where a text column holds prompt and answer."""
    pairs = [(row.cells.get(prompt), row.cells.get(answer)) for row in rows for answer in answers]
    filled = [(asked, said) for asked, said in pairs if not is_empty(asked) and not is_empty(said)]
    return bool(filled) and all(
        isinstance(asked, str) and isinstance(said, str) and said.startswith(asked) for asked, said in filled
    )


def _decide_template(
    params: LLMTrainingParams,
    rows: Sequence[Row],
    answers: tuple[str, ...],
    prompt: str | None,
    shape: Shape,
    name: str,
) -> bool:
    """Whether rows become messages.  Raises DataError where the form and chat_template contradict each other."""
    asked_for, said_none = params.chat_template is not None, is_explicit_none(params)
    prompts = _filled(rows, [prompt]) if prompt else []
    if shape == "turns" or any(chat_form(cell) for cell in prompts):
        if said_none:
            where = _quoted(answers if shape == "turns" else (prompt or "",))
            raise DataError(
                f"{name}: {where} hold messages, but data.chat_template is none; "
                "set it to tokenizer, chatml or zephyr, or leave it out"
            )
        if not asked_for:
            log.notice("chat_template isn't set: conversations are rendered with the tokenizer's own template")
        return True
    texts = [cell for cell in (_filled(rows, answers) if shape == "dialogue" else prompts) if isinstance(cell, str)]
    if any(map(is_hh, texts)):
        if not asked_for and not said_none:
            log.notice(
                "chat_template isn't set: Human/Assistant dialogues are trained on as text; "
                "data.chat_template: tokenizer would make conversations of them"
            )
        return asked_for
    if not asked_for:
        return False
    if prompt is None or any(map(answer_start, texts)):
        raise DataError(
            f"{rows[0].origin}: column {_quoted((prompt,) if prompt else answers)} holds text that the chat template "
            f"'{params.chat_template}' can't render: "
            + ("turns in it are written out already" if any(map(answer_start, texts)) else "prompt and answer are one text")
            + "; set data.chat_template: none"
        )
    return True
