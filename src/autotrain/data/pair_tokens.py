"""Pairs become trees: the prompt once, and the answers as branches that continue it; so do labelled answers.

Prompt plus answer are the ids that the whole dialogue has.  The prompt ends with the header of the assistant's turn.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from autotrain import log
from autotrain.data.chat import ChatTemplate
from autotrain.data.encode import SpanEncoder, framed
from autotrain.data.lengths import AnswerLengths, Lengths, resolve_answer_lengths
from autotrain.data.marked import Encoded, Marked
from autotrain.data.messages import RowProblem
from autotrain.data.report import (
    ANSWER_CUT_AWAY,
    DIFFERENT_DIALOGUES,
    EMPTY_ANSWER,
    IDENTICAL_ANSWERS,
    MALFORMED,
    NO_PROMPT,
    TOO_LONG,
    RowsReport,
)
from autotrain.data.samples import Source
from autotrain.data.store import ExampleStore
from autotrain.data.tokenizer import LoadedTokenizer
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Example, Labelled, Preference, Segment

WINDOW_PAIRS = 500

_Turns = tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """prompt: (tokens,) int32 ids.  answers: what continues it, each with which of its tokens are trained on."""

    prompt: np.ndarray
    answers: tuple[Encoded, ...]

    @property
    def num_tokens(self) -> int:
        return len(self.prompt) + sum(len(answer.ids) for answer in self.answers)


@dataclass(frozen=True, slots=True)
class _Draft:
    """The whole texts of a sample, the answer in each marked; and the ids that begin and end each of them."""

    sample: Preference | Labelled
    texts: tuple[Marked, ...]
    prefix_ids: tuple[int, ...] = ()
    suffix_ids: tuple[tuple[int, ...], ...] = ()

    @property
    def has_prompt(self) -> bool:
        return self.texts[0].spans[0][0] > 0


def store_trees(
    params: LLMTrainingParams,
    source: Source,
    loaded: LoadedTokenizer,
    lengths: Lengths,
    report: RowsReport,
    store: ExampleStore,
    *,
    trains_prompt: bool,
) -> None:
    """Tokenize the pairs or labelled answers of a split into `store`.  What is left out or cut goes into `report`."""
    limits = resolve_answer_lengths(params, lengths)
    num_trees = num_prompts_cut = 0
    for sample, tree in _trees(params, source, loaded, report):
        try:
            kept = shorten(tree, limits, loaded.prefix_ids)
        except RowProblem as problem:
            report.left_out(source.split, sample.origin, problem.reason, problem.detail)
            continue
        if kept.num_tokens < tree.num_tokens:
            report.cut(source.split, sample.origin, kept.num_tokens, tree.num_tokens - kept.num_tokens)
        num_trees += 1
        num_prompts_cut += len(kept.prompt) < len(tree.prompt)
        store.append(_example(sample, kept, trains_prompt=trains_prompt), sample.origin)
    if num_prompts_cut and not params.is_explicit("max_prompt_length"):
        log.notice(
            f"{source.split}: {num_prompts_cut} of {num_trees} prompts are longer than max_prompt_length ({limits.prompt}, "
            "its default) and lost their beginning; set max_prompt_length to keep more"
        )


def _trees(
    params: LLMTrainingParams, source: Source, loaded: LoadedTokenizer, report: RowsReport
) -> Iterator[tuple[Preference | Labelled, Tree]]:
    encoder = SpanEncoder(loaded.tokenizer)
    drafts = _drafts(source, loaded, report)
    while window := list(islice(drafts, WINDOW_PAIRS)):
        if report.num_left_out(source.split, MALFORMED) and not params.skip_bad_rows:
            continue  # The data will be refused: read on only to count.
        encoded = iter(encoder.encode([text for draft in window for text in draft.texts]))
        for draft in window:
            try:
                yield draft.sample, _grow(draft, [next(encoded) for _ in draft.texts], encoder)
            except RowProblem as problem:
                report.left_out(source.split, draft.sample.origin, problem.reason, problem.detail)


def _drafts(source: Source, loaded: LoadedTokenizer, report: RowsReport) -> Iterator[_Draft]:
    template = ChatTemplate(loaded.tokenizer, loaded.day)
    eos_token = str(loaded.tokenizer.convert_ids_to_tokens(loaded.eos_token_id))
    for sample in source.samples(report):
        if not isinstance(sample, Preference | Labelled):
            raise TypeError(f"{type(sample).__name__} is no pair and no labelled answer")
        try:
            answers = (sample.chosen, sample.rejected) if isinstance(sample, Preference) else (sample.completion,)
            if isinstance(sample.prompt, str):
                yield _text_draft(sample, sample.prompt, [str(answer) for answer in answers], loaded, eos_token)
            else:
                turns = [answer for answer in answers if not isinstance(answer, str)]
                yield _Draft(sample, _render(template, sample.prompt, turns, sample.tools))
        except RowProblem as problem:
            report.left_out(source.split, sample.origin, problem.reason, problem.detail)


def _text_draft(
    sample: Preference | Labelled, prompt: str, answers: Sequence[str], loaded: LoadedTokenizer, eos_token: str
) -> _Draft:
    texts = tuple(Marked(prompt + answer, ((len(prompt), len(prompt + answer)),)) for answer in answers)
    # A text that a template rendered may end with the end-of-turn token and a newline: that is an end, too.
    ends = tuple(
        () if answer.rstrip() != answer and answer.rstrip().endswith(eos_token) else (loaded.eos_token_id,)
        for answer in answers
    )
    return _Draft(sample, texts, loaded.prefix_ids, ends)


def _render(template: ChatTemplate, prompt: _Turns, answers: Sequence[_Turns], tools: _Turns) -> tuple[Marked, ...]:
    """Whole dialogues, the answers marked from the same place on.  Raises RowProblem if they can't be."""
    tools_on_offer = [dict(tool) for tool in tools]
    dialogues = [template.shown([dict(turn) for turn in (*prompt, *answer)], tools_on_offer) for answer in answers]
    rendered = [template.render_answer(dialogue, tools_on_offer) for dialogue in dialogues]
    # A template may open a thought for one answer and not for the other: what both begin with is the prompt.
    start = min(dialogue.spans[0][0] for dialogue in rendered)
    if any(dialogue.text[:start] != rendered[0].text[:start] for dialogue in rendered):
        raise RowProblem("the chat template doesn't render both dialogues alike up to the answer", DIFFERENT_DIALOGUES)
    return tuple(Marked(dialogue.text, ((start, dialogue.spans[0][1]),)) for dialogue in rendered)


def _grow(draft: _Draft, encoded: Sequence[Encoded | RowProblem], encoder: SpanEncoder) -> Tree:
    """One prompt and its branches.  Raises RowProblem if the tokenizer lets no border be between them."""
    whole = _framed_texts(draft, encoded)
    if not draft.has_prompt:
        return _part_at_difference(whole)
    tree = _part_at_mark(whole)
    if tree is None:
        tree = _part_at_mark(_framed_texts(draft, [encoder.encode_pieces(text) for text in draft.texts]))
    if tree is None:
        raise RowProblem(_NO_BORDER)
    if not len(tree.prompt):
        raise RowProblem("the prompt has no tokens", NO_PROMPT)
    return tree


_NO_BORDER = (
    "the tokenizer joins the end of the prompt with the beginning of the answer, and cutting there changes the text; "
    "end the prompt with a newline"
)


def _framed_texts(draft: _Draft, encoded: Sequence[Encoded | RowProblem]) -> list[Encoded]:
    whole: list[Encoded] = []
    for number, one in enumerate(encoded):
        if isinstance(one, RowProblem):
            raise RowProblem(_NO_BORDER)
        whole.append(framed(one, draft.prefix_ids, draft.suffix_ids[number] if draft.suffix_ids else ()))
    return whole


def _part_at_mark(whole: Sequence[Encoded]) -> Tree | None:
    """Part where the answers begin; None if what is before that differs."""
    starts: list[int] = []
    for one in whole:
        if not one.trained.any():
            raise RowProblem("the answer has no tokens", EMPTY_ANSWER)
        starts.append(int(one.trained.argmax()))
    prompt = whole[0].ids[: starts[0]]
    if any(not np.array_equal(one.ids[:start], prompt) for one, start in zip(whole, starts, strict=True)):
        return None
    return Tree(prompt, tuple(_after(one, len(prompt)) for one in whole))


def _part_at_difference(whole: Sequence[Encoded]) -> Tree:
    """Texts without a prompt: what their ids begin with alike is computed once all the same."""
    shortest = min(len(one.ids) for one in whole)
    if not shortest:
        raise RowProblem("the answer has no tokens", EMPTY_ANSWER)
    differs = np.any([one.ids[:shortest] != whole[0].ids[:shortest] for one in whole], axis=0)
    num_shared = int(differs.argmax()) if differs.any() else shortest - 1
    return Tree(whole[0].ids[:num_shared], tuple(_after(one, num_shared) for one in whole))


def _after(encoded: Encoded, start: int) -> Encoded:
    return Encoded(encoded.ids[start:], encoded.trained[start:])


def shorten(tree: Tree, limits: AnswerLengths, prefix_ids: tuple[int, ...]) -> Tree:
    """Bring a tree within the limits; `prefix_ids` stay at the beginning of a prompt that loses its own.

    Raises RowProblem where nothing is left to compare.
    """
    kept = _shorten_parts(tree, limits, prefix_ids) if limits.cuts else tree
    lengths = [len(kept.prompt) + len(answer.ids) for answer in kept.answers]
    if max(lengths) > limits.block_size:
        raise RowProblem(f"{max(lengths)} tokens; block_size is {limits.block_size}", TOO_LONG)
    for before, after in zip(tree.answers, kept.answers, strict=True):
        if not after.trained.any():
            detail = f"{len(tree.prompt)} tokens of prompt and {len(before.ids)} of answer; {limits.block_size} are allowed"
            raise RowProblem(detail, ANSWER_CUT_AWAY)
    if len(kept.answers) == 2 and np.array_equal(kept.answers[0].ids, kept.answers[1].ids):
        is_cut = kept.num_tokens < tree.num_tokens
        raise RowProblem(f"the same tokens{' are left after the cut' if is_cut else ''}", IDENTICAL_ANSWERS)
    return kept


def _shorten_parts(tree: Tree, limits: AnswerLengths, prefix_ids: tuple[int, ...]) -> Tree:
    prompt = _end_of(tree.prompt, limits.prompt, prefix_ids)
    room = max(0, limits.block_size - len(prompt))
    longest = room if limits.answer is None else min(limits.answer, room)
    answers = tuple(Encoded(answer.ids[:longest], answer.trained[:longest]) for answer in tree.answers)
    return replace(tree, prompt=prompt[: limits.block_size], answers=answers)


def _end_of(prompt: np.ndarray, longest: int | None, prefix_ids: tuple[int, ...]) -> np.ndarray:
    """The last tokens of a prompt; what the tokenizer begins every text with, models can't do without."""
    if longest is None or len(prompt) <= longest:
        return prompt
    num_prefix = len(prefix_ids)
    if 0 < num_prefix < longest and tuple(prompt[:num_prefix]) == prefix_ids:
        return np.concatenate([prompt[:num_prefix], prompt[len(prompt) - longest + num_prefix :]])
    return prompt[-longest:]


def _example(sample: Preference | Labelled, tree: Tree, *, trains_prompt: bool) -> Example:
    if isinstance(sample, Labelled):
        return _labelled(tree, is_good=sample.label)
    num_answers = len(tree.answers)
    segments: list[Segment] = []
    if len(tree.prompt):
        trained = np.full(len(tree.prompt), trains_prompt)
        segments.append(Segment(tree.prompt, trained, sequence=num_answers if trains_prompt else 0))
    parent = 0 if segments else None
    segments += [
        Segment(answer.ids, answer.trained, parent=parent, sequence=number) for number, answer in enumerate(tree.answers)
    ]
    return Example(tuple(segments), num_answers + int(trains_prompt), margin=sample.margin)


def _labelled(tree: Tree, *, is_good: bool) -> Example:
    (answer,) = tree.answers
    ids = np.concatenate([tree.prompt, answer.ids])
    trained = np.concatenate([np.zeros(len(tree.prompt), np.bool_), answer.trained])
    return Example((Segment(ids, trained),), label=float(is_good))
