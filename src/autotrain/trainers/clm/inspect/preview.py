"""The first rows of a data set as data: what was recognised, who says what, and each token with whether it is trained on.

A data set that can't be used gives an answer too: what is in it, and what stands in the way.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from types import MappingProxyType
from typing import Any

from autotrain import log, objectives
from autotrain.config.notices import ineffective
from autotrain.data.columns import Form, column_names
from autotrain.data.inspection import inspect_rows
from autotrain.data.lengths import resolve_lengths
from autotrain.data.pairs import PairForm, SampleKind
from autotrain.data.report import MALFORMED, RowsReport
from autotrain.data.samples import NUM_PEEKED_ROWS, Source, open_rows, open_split
from autotrain.data.suggest import suggest_columns
from autotrain.data.tokenize import tokenize_split
from autotrain.data.tokenizer import LoadedTokenizer
from autotrain.data.turns import shown_parts
from autotrain.errors import AutoTrainError, DataError
from autotrain.trainers.clm.params import LLMTrainingParams, Trainer
from autotrain.types import Row

NUM_ROWS_READ = 200
NUM_RAW_ROWS = 5
NUM_LISTED = 50
MAX_CELL_CHARACTERS = 400
MAX_PART_TOKENS = 3000
_COLUMN_FIELDS = ("text_column", "prompt_text_column", "rejected_text_column", "label_column")

LoadTokenizer = Callable[[LLMTrainingParams, bool], tuple[LoadedTokenizer, int | None]]


def preview(params: LLMTrainingParams, num_rows: int, load_tokenizer: LoadTokenizer) -> dict[str, Any]:
    """The answer: file, columns, cells, fits, form, mapping, used, suggested, could_chat, rows, tokens, counts, left_out,
    notices, problem.  used: the columns that a sample is made of.  could_chat: plain questions and answers, which a chat
    template could make conversations of.

    load_tokenizer: gives the tokenizer, for conversations or not, and the model's limit.
    """
    answer: dict[str, Any] = {"problem": None}
    with log.collect_notices() as notices:
        for line in ineffective(params):
            log.notice(line)
        try:
            _look(params.model_copy(update={"skip_bad_rows": True}), num_rows, load_tokenizer, answer)
        except _Stopped as stopped:
            answer["problem"] = {"stage": stopped.stage, "text": log.mask(str(stopped.error))}
    return {**answer, "notices": list(dict.fromkeys(notices))}


class _Stopped(Exception):
    def __init__(self, stage: str, error: AutoTrainError) -> None:
        super().__init__(stage)
        self.stage, self.error = stage, error


def _look(params: LLMTrainingParams, num_rows: int, load_tokenizer: LoadTokenizer, answer: dict[str, Any]) -> None:
    """Fill `answer` as far as it goes.  Raises _Stopped with the stage: read, columns, model, rows."""
    kind = objectives.build(params.trainer, params.model_dump()).sample
    try:
        name, rows, _ = open_rows(params, "train")
        peeked = [row for row in islice(rows(), NUM_PEEKED_ROWS) if isinstance(row, Row)]
    except AutoTrainError as error:
        raise _Stopped("read", error) from None
    answer |= {"file": name, "columns": list(column_names(peeked)), "cells": [_cells(row) for row in peeked[:NUM_RAW_ROWS]]}
    answer["fits"] = [trainer for trainer, wanted in _KINDS.items() if _is_recognised(params, trainer, wanted)]
    source, params, answer["suggested"] = _recognise(params, peeked, kind)
    answer["form"], answer["mapping"] = source.form.describe(), _mapping(source.form)
    answer["used"] = _used(source.form)
    answer["kind"] = source.form.kind if isinstance(source.form, Form) else kind
    answer["is_conversation"] = source.is_conversation
    answer["could_chat"] = not source.is_conversation and _could_chat(params, kind)
    first = replace(source, rows=lambda: islice(source.rows(), NUM_ROWS_READ))
    with closing(RowsReport()) as unused:
        shown = islice(first.samples(unused), num_rows)
        try:
            answer["rows"] = [
                {"line": sample.origin.line, "parts": [asdict(part) for part in shown_parts(sample)]} for sample in shown
            ]
        except DataError as error:
            raise _Stopped("read", error) from None
    _show_tokens(params, first, num_rows, load_tokenizer, answer)


# One trainer for each kind of data.
_KINDS: Mapping[Trainer, SampleKind] = MappingProxyType({"sft": "text", "dpo": "pair", "kto": "labelled"})


def _is_recognised(params: LLMTrainingParams, trainer: Trainer, kind: SampleKind) -> bool:
    asked = {name: value for name, value in params.model_dump().items() if name in ("data_path", "train_split")}
    try:
        open_split(LLMTrainingParams(**asked, trainer=trainer), "train", kind)
    except DataError:
        return False
    return True


def _could_chat(params: LLMTrainingParams, kind: SampleKind) -> bool:
    if params.trainer == "default" or params.is_explicit("chat_template"):
        return False
    try:
        return open_split(params.model_copy(update={"chat_template": "tokenizer"}), "train", kind).is_conversation
    except AutoTrainError:
        return False


def _recognise(
    params: LLMTrainingParams, peeked: Sequence[Row], kind: SampleKind
) -> tuple[Source, LLMTrainingParams, dict[str, str]]:
    """The source; where nothing was recognised and nothing was mapped, by the columns that are suggested."""
    try:
        return open_split(params, "train", kind), params, {}
    except DataError as error:
        if any(params.is_explicit(field) for field in _COLUMN_FIELDS) or not peeked:
            raise _Stopped("columns" if peeked else "read", error) from None
        suggested = suggest_columns(peeked, kind)
        mapped = params.model_copy(update=suggested)
        try:
            source = open_split(mapped, "train", kind) if suggested else None
        except DataError:
            source = None
        if source is None:
            raise _Stopped("columns", error) from None
        return source, mapped, suggested
    except AutoTrainError as error:
        raise _Stopped("settings", error) from None


def _show_tokens(
    params: LLMTrainingParams, source: Source, num_rows: int, load_tokenizer: LoadTokenizer, answer: dict[str, Any]
) -> None:
    try:
        loaded, limit = load_tokenizer(params, source.is_conversation)
        lengths = resolve_lengths(params, loaded.tokenizer.model_max_length, limit)
    except AutoTrainError as error:
        raise _Stopped("model", error) from None
    answer |= {"template": loaded.template, "block_size": lengths.block_size}
    with closing(RowsReport()) as report:
        try:
            with tokenize_split(params, source, loaded, lengths, report, trains_prompt=False) as store:
                shown = inspect_rows(store, loaded.tokenizer, num_rows)
        except AutoTrainError as error:
            raise _Stopped("rows", error) from None
        finally:
            answer |= counted(report, source.split)
    answer["tokens"] = [
        {
            "line": row.origin.line,
            "num_tokens": row.num_tokens,
            "num_trained": row.num_trained,
            "parts": [{"name": part.name, "pieces": part.pieces[:MAX_PART_TOKENS]} for part in row.parts],
        }
        for row in shown
    ]


def counted(report: RowsReport, split: str) -> dict[str, Any]:
    """counts: of rows in, out, left out by reason, cut.  left_out: the first of each reason.  bad_rows: how many."""
    counts = report.counts().get(split, {"rows_in": 0, "rows_out": 0, "left_out": {}, "rows_cut": 0, "tokens_cut": 0})
    first = [[reason, row] for reason in counts["left_out"] for row in report.first_rows(split, reason)]
    return {"counts": counts, "left_out": first[:NUM_LISTED], "bad_rows": report.num_left_out(split, MALFORMED)}


def _mapping(form: Form | PairForm) -> dict[str, str]:
    """Field of column_mapping -> the column that is used."""
    if isinstance(form, Form):
        return {"text_column": form.text} | ({"prompt_text_column": form.prompt} if form.prompt else {})
    names = dict(zip(("text_column", "rejected_text_column"), form.answers, strict=False))
    more = {"prompt_text_column": form.prompt, "label_column": form.label}
    return {**names, **{field: column for field, column in more.items() if column}}


def _used(form: Form | PairForm) -> list[str]:
    """Columns, in the order in which one reads them; of bare lists none."""
    if isinstance(form, Form):
        names = (form.prompt, form.input, form.text, form.tools)
    else:
        names = (form.prompt, *form.answers, form.label, form.margin, form.tools)
    return [name for name in names if name]


def _cells(row: Row) -> dict[str, str]:
    return {name: _short(cell) for name, cell in row.cells.items()}


def _short(cell: Any) -> str:
    text = cell if isinstance(cell, str) else "" if cell is None else str(cell)
    return text if len(text) <= MAX_CELL_CHARACTERS else text[:MAX_CELL_CHARACTERS] + " …"
