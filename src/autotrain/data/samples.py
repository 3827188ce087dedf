"""A split of the data: found, recognised, and turned into samples row by row."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from autotrain import log
from autotrain.data.cells import check_unicode, text_of, turns_of
from autotrain.data.columns import CHAT_COLUMNS, Form, column_names, recognise
from autotrain.data.hub import HubRows
from autotrain.data.locate import locate
from autotrain.data.messages import Message, RowProblem, chat_form, is_empty, parse_messages, parse_tools
from autotrain.data.pair_rows import to_labelled, to_preference
from autotrain.data.pairs import PairForm, SampleKind, recognise_pairs
from autotrain.data.read import BadRow, Rows, read_rows
from autotrain.data.report import MALFORMED, NUM_FIRST_ROWS, RowsReport
from autotrain.data.templates import check_chat_template, is_explicit_none
from autotrain.errors import DataError
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Conversation, Labelled, Origin, Preference, Row, Text

Split = Literal["train", "valid"]
Sample = Text | Conversation | Preference | Labelled
NUM_PEEKED_ROWS = 100


@dataclass(frozen=True)
class Source:
    """A split whose form is known.  split: "train" or "valid"; name: of the file or hub data set."""

    split: str
    name: str
    columns: tuple[str, ...]
    form: Form | PairForm
    is_conversation: bool
    kind: SampleKind
    sample_of: Callable[[Row], Sample]
    rows: Callable[[], Rows]
    fingerprint_of: Callable[[], str]

    def samples(self, report: RowsReport) -> Iterator[Sample]:
        """Stream the samples; rows that give none are entered into `report`."""
        for row in self.rows():
            report.seen(self.split)
            if isinstance(row, BadRow):
                report.left_out(self.split, row.origin, MALFORMED, row.problem)
                continue
            try:
                yield self.sample_of(row)
            except RowProblem as problem:
                report.left_out(self.split, row.origin, problem.reason, problem.detail)

    def fingerprint(self) -> str:
        """Identifies the data: a hash of the file, or the hub data set's own."""
        return self.fingerprint_of()


def open_split(params: LLMTrainingParams, split: Split, kind: SampleKind = "text") -> Source:
    """Find the train or valid split and recognise its form.  Raises DataError.

    Which data it is, is told by data_path with train_split or valid_split; kind: what the
    objective is trained on.
    """
    check_chat_template(params)
    name, rows, fingerprint = open_rows(params, split)
    peeked = list(islice((row for row in rows() if isinstance(row, Row)), NUM_PEEKED_ROWS))
    if not peeked:
        _refuse_rowless(name, rows)
    form, is_conversation, sample_of = _maker(params, peeked, name, kind)
    log.info(f"{split}: {name}, {form.describe()}")
    return Source(split, name, column_names(peeked), form, is_conversation, kind, sample_of, rows, fingerprint)


def _maker(
    params: LLMTrainingParams, peeked: list[Row], name: str, kind: SampleKind
) -> tuple[Form | PairForm, bool, Callable[[Row], Sample]]:
    """The form, whether the samples are conversations, and what makes them of rows."""
    if kind == "text":
        form = recognise(params, peeked, name)
        is_conversation = _decide_template(params, form, peeked, name)
        return form, is_conversation, partial(to_sample, form=form, as_conversation=is_conversation)
    pair_form = recognise_pairs(params, peeked, name, kind)
    make = to_preference if kind == "pair" else to_labelled
    return pair_form, pair_form.is_conversation, partial(make, form=pair_form)


def open_rows(params: LLMTrainingParams, split: Split) -> tuple[str, Callable[[], Rows], Callable[[], str]]:
    """The name of a split, its rows as they stand there, and its fingerprint.  Raises DataError."""
    wanted = params.train_split if split == "train" else params.valid_split
    if wanted is None:
        raise DataError("valid_split isn't set; name the split, or the file, to validate on")
    where = locate(params.data_path, wanted, is_valid=split == "valid")
    if isinstance(where, Path):
        return str(where), partial(read_rows, where), partial(_hash_file, where)
    hub_rows = HubRows(where)
    return str(where), hub_rows, lambda: hub_rows.fingerprint


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_rowless(name: str, rows: Callable[[], Rows]) -> None:
    num_bad, first = 0, list[str]()
    for row in rows():
        if isinstance(row, BadRow):
            num_bad += 1
            if len(first) < NUM_FIRST_ROWS:
                first.append(f"{row.origin}: {row.problem}")
    if num_bad:
        raise DataError(f"{name}: none of the {num_bad} rows can be read:\n  " + "\n  ".join(first))
    raise DataError(f"{name}:1: there are no rows in it; at least one is needed")


def _decide_template(params: LLMTrainingParams, form: Form, rows: list[Row], name: str) -> bool:
    """Whether the samples are conversations.  Raises DataError where form and chat_template contradict each other."""
    asked_for = params.chat_template is not None
    if form.kind == "conversation":
        if is_explicit_none(params):
            raise DataError(
                f"{name}: column '{form.text}' holds conversations, but data.chat_template is none; "
                "set it to tokenizer, chatml or zephyr, or leave it out"
            )
        if not asked_for:
            log.notice("chat_template isn't set: conversations are rendered with the tokenizer's own template")
        return True
    if form.kind == "text":
        if asked_for:
            first = next((row for row in rows if not is_empty(row.cells.get(form.text))), rows[0]).origin
            chat = next((column for column in CHAT_COLUMNS if column in column_names(rows) and column != form.text), None)
            other = f"take the other column (column_mapping.text_column: {chat})" if chat else "give conversations"
            raise DataError(
                f"{first}: column '{form.text}' holds plain text, which the chat template '{params.chat_template}' "
                f"can't render; set data.chat_template: none, or {other} (lists of role and content)"
            )
        return False
    if form.kind == "alpaca":
        if not asked_for and not is_explicit_none(params):
            log.notice(
                "chat_template isn't set: rows become conversations with the tokenizer's own template; none keeps plain text"
            )
        return not is_explicit_none(params)
    return _prompts_are_conversations(params, form, rows, name)


def _prompts_are_conversations(params: LLMTrainingParams, form: Form, rows: list[Row], name: str) -> bool:
    if params.chat_template is not None:
        return True
    answers = [row.cells.get(form.text) for row in rows]
    prompts = [row.cells.get(form.prompt or "") for row in rows]
    if not any(chat_form(cell) for cell in (*answers, *prompts)):
        return False
    if is_explicit_none(params):
        raise DataError(
            f"{name}: '{form.prompt}' and '{form.text}' hold messages, but data.chat_template is none; leave it out"
        )
    log.notice("chat_template isn't set: conversations are rendered with the tokenizer's own template")
    return True


def to_sample(row: Row, form: Form, *, as_conversation: bool) -> Text | Conversation:
    """Raises RowProblem if the row gives no sample."""
    cells, origin = row.cells, row.origin
    if form.kind == "text":
        return Text(text_of(cells, form.text), origin)
    tools = parse_tools(cells.get(form.tools)) if form.tools else ()
    if form.kind == "conversation":
        return _conversation(parse_messages(cells.get(form.text)), origin, tools)
    prompt_column = form.prompt or ""
    if not as_conversation:
        if form.kind == "alpaca":
            return Text(text_of(cells, form.text), origin, prompt=_instruction(cells, form) + "\n\n")
        return Text(text_of(cells, form.text), origin, prompt=text_of(cells, prompt_column, may_be_empty=True))
    if form.kind == "alpaca":
        question: list[Message] = [{"role": "user", "content": _instruction(cells, form)}]
    else:
        question = turns_of(cells, prompt_column, "user")
    return _conversation(question + turns_of(cells, form.text, "assistant"), origin, tools)


def _conversation(messages: list[Message], origin: Origin, tools: tuple[Message, ...]) -> Conversation:
    for message in messages:
        check_unicode(message["content"])
    return Conversation(tuple(messages), origin, tools)


def _instruction(cells: Mapping[str, Any], form: Form) -> str:
    instruction = text_of(cells, form.prompt or "")
    given = "" if form.input is None else text_of(cells, form.input, may_be_empty=True)
    return f"{instruction}\n\n{given}" if given.strip() else instruction
