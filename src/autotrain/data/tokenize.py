"""Samples become examples: what each trainer makes of texts and conversations, row by row, in one pass."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from autotrain import log
from autotrain.data import cache
from autotrain.data.chat import ChatTemplate
from autotrain.data.encode import SpanEncoder, framed
from autotrain.data.handover import Handover
from autotrain.data.lengths import Lengths
from autotrain.data.marked import Encoded, Marked
from autotrain.data.messages import RowProblem
from autotrain.data.pair_tokens import store_trees
from autotrain.data.report import CUT_AWAY, EMPTY_ANSWER, MALFORMED, NO_ASSISTANT_TURN, NOTHING_TO_TRAIN, RowsReport
from autotrain.data.samples import Sample, Source
from autotrain.data.store import ExampleStore
from autotrain.data.tokenizer import LoadedTokenizer
from autotrain.errors import DataError
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Conversation, Example, Origin, Segment, Text

WINDOW_ROWS = 1000

Tokens = tuple[Origin, Encoded]


def load_examples(
    params: LLMTrainingParams,
    source: Source,
    loaded: LoadedTokenizer,
    lengths: Lengths,
    report: RowsReport,
    *,
    trains_prompt: bool = False,
    handover: Handover | None = None,
) -> ExampleStore:
    """A split, tokenized: as an earlier run kept it, or now.  Rows left out or cut are entered into `report`.

    handover: to or from other processes of the run, of which one tokenizes for all.
    trains_prompt: the prompt of a pair is trained on too, as a third sequence.  Raises DataError for malformed rows
    (unless skip_bad_rows) and if no row is left.
    """
    key = cache.key_of(params, source, loaded, lengths, trains_prompt=trains_prompt)
    taken = handover.take(source.split) if handover else None
    kept = taken or (cache.find(key) if key else None)
    if kept is not None:
        for notice in kept.notices:
            log.notice(notice)
        with closing(kept.rows):
            report.add(kept.rows)
            if handover and not taken:
                handover.give(source.split, kept.store, kept.rows, kept.notices)
        return kept.store
    with closing(RowsReport()) as rows, log.collect_notices() as notices:
        store = tokenize_split(params, source, loaded, lengths, rows, trains_prompt=trains_prompt)
        report.add(rows)
        if handover:
            handover.give(source.split, store, rows, notices)
        return cache.keep(key, store, rows, notices) if key else store


def tokenize_split(
    params: LLMTrainingParams,
    source: Source,
    loaded: LoadedTokenizer,
    lengths: Lengths,
    report: RowsReport,
    *,
    trains_prompt: bool = False,
) -> ExampleStore:
    """As `load_examples`, without looking at what was kept: `report` hears of each row as it is met.

    Streaming: memory holds a window of rows.
    """
    store = ExampleStore()
    try:
        if source.kind != "text":
            store_trees(params, source, loaded, lengths, report, store, trains_prompt=trains_prompt)
        elif params.trainer == "default":
            _store_stream(_tokenize(params, source, loaded, report), store, source.split, lengths.block_size, report)
        else:
            _store_rows(_tokenize(params, source, loaded, report), store, source.split, lengths.block_size, report)
        _refuse_bad_rows(params, source, report)
        if not len(store):
            raise DataError(_nothing_left(source, report))
    except BaseException:
        store.close()
        raise
    return store


def _refuse_bad_rows(params: LLMTrainingParams, source: Source, report: RowsReport) -> None:
    num_bad = report.num_left_out(source.split, MALFORMED)
    if not num_bad or params.skip_bad_rows:
        return
    first = report.first_rows(source.split, MALFORMED)
    rows = "1 row" if num_bad == 1 else f"{num_bad} rows"
    more = f"\n  and {num_bad - len(first)} more" if num_bad > len(first) else ""
    raise DataError(
        f"{source.name}: {rows} can't be used:\n  " + "\n  ".join(first) + more + "\n"
        "Mend them, or set skip_bad_rows: true to leave such rows out and list them"
    )


def _nothing_left(source: Source, report: RowsReport) -> str:
    counts = report.counts().get(source.split, {"rows_in": 0, "left_out": {}})
    reasons = ", ".join(f"{number} {reason}" for reason, number in counts["left_out"].items())
    why = f" ({reasons})" if reasons else ""
    first = [row for reason in counts["left_out"] for row in report.first_rows(source.split, reason)][:1]
    where = f"; the first: {first[0]}" if first else ""
    return f"{source.name}: no row is left to train on, of {counts['rows_in']}{why}{where}"


def _tokenize(params: LLMTrainingParams, source: Source, loaded: LoadedTokenizer, report: RowsReport) -> Iterator[Tokens]:
    maker = _Maker.of(params, loaded)
    encoder = SpanEncoder(loaded.tokenizer)
    drafts = _drafts(maker, source, report)
    while window := list(islice(drafts, WINDOW_ROWS)):
        if report.num_left_out(source.split, MALFORMED) and not params.skip_bad_rows:
            continue  # The data will be refused: read on only to count.
        for (origin, draft), encoded in zip(window, encoder.encode([draft.marked for _, draft in window]), strict=True):
            if isinstance(encoded, RowProblem):
                report.left_out(source.split, origin, encoded.reason, encoded.detail)
            else:
                yield origin, framed(encoded, draft.prefix_ids, draft.suffix_ids, trains_on_prefix=draft.trains_on_prefix)


def _drafts(maker: "_Maker", source: Source, report: RowsReport) -> Iterator[tuple[Origin, "_Draft"]]:
    for sample in source.samples(report):
        try:
            yield sample.origin, maker.draft(sample)
        except RowProblem as problem:
            report.left_out(source.split, sample.origin, problem.reason, problem.detail)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A text to encode, and the ids to put before and after it unless they are there already."""

    marked: Marked
    prefix_ids: tuple[int, ...] = ()
    suffix_ids: tuple[int, ...] = ()
    trains_on_prefix: bool = False


@dataclass(frozen=True, slots=True)
class _Maker:
    """What a trainer makes of a sample."""

    template: ChatTemplate
    prefix_ids: tuple[int, ...]
    suffix_ids: tuple[int, ...]
    eos_token: str
    trains_on_all: bool
    ends_conversations: bool

    @classmethod
    def of(cls, params: LLMTrainingParams, loaded: LoadedTokenizer) -> "_Maker":
        is_default = params.trainer == "default"
        adds_eos = not is_default or params.add_eos_token
        return cls(
            template=ChatTemplate(loaded.tokenizer, loaded.day),
            prefix_ids=loaded.prefix_ids,
            suffix_ids=(loaded.eos_token_id,) if adds_eos else (),
            eos_token=str(loaded.tokenizer.convert_ids_to_tokens(loaded.eos_token_id)),
            trains_on_all=is_default or params.train_on_prompt,
            ends_conversations=is_default and params.add_eos_token,
        )

    def draft(self, sample: Sample) -> _Draft:
        if isinstance(sample, Text):
            return self._text(sample)
        if isinstance(sample, Conversation):
            return self._conversation(sample)
        raise TypeError(f"{type(sample).__name__} is no text and no conversation")

    def _text(self, sample: Text) -> _Draft:
        text = sample.prompt + sample.text
        start = 0 if self.trains_on_all else len(sample.prompt)
        return _Draft(Marked(text, ((start, len(text)),)), self.prefix_ids, self.suffix_ids, trains_on_prefix=start == 0)

    def _conversation(self, sample: Conversation) -> _Draft:
        messages = self.template.shown(sample.messages, sample.tools)
        tools = [dict(tool) for tool in sample.tools]
        if self.trains_on_all:
            text = self.template.render_text(messages, tools)
            suffix = self.suffix_ids if self.ends_conversations and not text.rstrip().endswith(self.eos_token) else ()
            return _Draft(Marked(text, ((0, len(text)),)), suffix_ids=suffix)
        if not any(message["role"] == "assistant" for message in messages):
            roles = ", ".join(dict.fromkeys(str(message["role"]) for message in messages))
            raise RowProblem(f"the conversation has no assistant turn to train on (roles: {roles})", NO_ASSISTANT_TURN)
        if any(_says_nothing(message) for message in messages):
            raise RowProblem("an assistant turn is empty: it would teach to answer nothing", EMPTY_ANSWER)
        rendered = self.template.render_spans(messages, tools)
        return _Draft(Marked(rendered.text, rendered.spans))


def _says_nothing(message: Mapping[str, Any]) -> bool:
    """Whether it is an assistant's turn with neither words nor tool calls."""
    content = message.get("content")
    is_blank = content is None or (isinstance(content, str) and not content.strip())
    return message["role"] == "assistant" and is_blank and not message.get("tool_calls")


def _store_rows(rows: Iterable[Tokens], store: ExampleStore, split: str, block_size: int, report: RowsReport) -> None:
    """Each row an example; its beginning is kept where it is too long."""
    rows = iter(rows)
    while window := list(islice(rows, WINDOW_ROWS)):
        kept = [(origin, row) for origin, row in window if np.count_nonzero(row.trained[1:block_size])]
        if len(kept) < len(window) or any(len(row.ids) > block_size for _, row in kept):
            _report_rows(window, split, block_size, report)
        if kept:
            store.append_rows(
                [row.ids[:block_size] for _, row in kept],
                [row.trained[:block_size] for _, row in kept],
                [origin for origin, _ in kept],
            )


def _report_rows(window: Iterable[Tokens], split: str, block_size: int, report: RowsReport) -> None:
    """Enter rows that are cut, and those of which nothing is left to train on."""
    for origin, row in window:
        length = len(row.ids)
        if not np.count_nonzero(row.trained[1:block_size]):
            if length > block_size:
                detail = f"{length} tokens; none of the first {block_size} is trained on"
                report.left_out(split, origin, CUT_AWAY, detail)
            else:
                report.left_out(split, origin, NOTHING_TO_TRAIN, f"{length} tokens, none of which can be predicted")
        elif length > block_size:
            report.cut(split, origin, block_size, length - block_size)


def _store_stream(rows: Iterable[Tokens], store: ExampleStore, split: str, block_size: int, report: RowsReport) -> None:
    """Join all rows into one stream and cut it into blocks; the tail is kept, and a lone last token reported."""
    held = np.zeros(0, np.int32)
    held_origin: Origin | None = None
    for origin, row in rows:
        if not len(row.ids):
            report.left_out(split, origin, NOTHING_TO_TRAIN, "no tokens")
            continue
        held_origin = origin if held_origin is None or not len(held) else held_origin
        held = np.concatenate([held, row.ids])
        while len(held) >= block_size:
            _append_block(store, held[:block_size], held_origin)
            held, held_origin = held[block_size:], origin
    if held_origin is None or not len(held):
        return
    if len(held) == 1:
        report.cut(split, held_origin, 0, 1)
    else:
        _append_block(store, held, held_origin)


def _append_block(store: ExampleStore, ids: np.ndarray, origin: Origin) -> None:
    store.append(Example((Segment(ids, np.ones(len(ids), np.bool_)),)), origin)
