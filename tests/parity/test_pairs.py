"""Pairs whose prompt is computed once give what separate, right-padded texts give through the plain model."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from autotrain.data.batches import collate
from autotrain.models.forward import Policy
from autotrain.models.precision import FP32
from autotrain.models.score import ScorePolicy
from autotrain.types import Batch, Example, Segment


def _families():
    spec = importlib.util.spec_from_file_location("families_of_parity", Path(__file__).with_name("test_families.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


families = _families()
ALL = families.FLAT | families.PADDED
VOCABULARY = families.VOCABULARY
PAD = 7
# Lengths of prompt, chosen, rejected: long and short prompts, answers of one token, several pairs.
PAIRS = {
    "long prompt": ((40, 6, 9),),
    "short prompt": ((1, 11, 5),),
    "one-token answers": ((8, 1, 1), (13, 1, 7)),
    "several pairs": ((12, 9, 4), (3, 17, 1), (26, 5, 21)),
}


def pair(lengths: Sequence[int], seed: int) -> Example:
    """Random ids, none of them the pad token."""
    drawn = np.random.default_rng(seed).integers(PAD + 1, VOCABULARY, sum(lengths)).astype(np.int32)
    prompt, chosen, rejected = np.split(drawn, np.cumsum(lengths)[:-1])
    return Example(
        (
            Segment(prompt, np.zeros(len(prompt), np.bool_)),
            Segment(chosen, np.ones(len(chosen), np.bool_), parent=0),
            Segment(rejected, np.ones(len(rejected), np.bool_), parent=0, sequence=1),
        ),
        num_sequences=2,
    )


def pairs_of(name: str) -> list[Example]:
    return [pair(lengths, seed) for seed, lengths in enumerate(PAIRS[name])]


def texts_of(examples: Sequence[Example]) -> list[tuple[Tensor, int]]:
    """Prompt and answer as one text, and the prompt's length; chosen, rejected, chosen, ..."""
    return [
        (torch.from_numpy(np.concatenate([prompt.ids, answer.ids]).astype(np.int64)), len(prompt.ids))
        for prompt, *answers in (example.segments for example in examples)
        for answer in answers
    ]


def padded(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """(R, T) ids padded on the right, and the attention mask, as any tokenizer's."""
    texts = [ids for ids, _ in texts_of(examples)]
    rows = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=PAD)
    return rows, (torch.arange(rows.shape[1]) < torch.tensor([len(text) for text in texts])[:, None]).long()


def plain_log_probs(model: PreTrainedModel, examples: Sequence[Example]) -> Tensor:
    """The answers' tokens, through the plain model's forward on padded rows."""
    ids, mask = padded(examples)
    # Recurrent families and those that count positions by the mask are given the rows as they are: all looks to the left.
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits.float().log_softmax(-1)
    parts = []
    for row, (text, num_prompt) in enumerate(texts_of(examples)):
        columns = torch.arange(num_prompt, len(text))
        parts.append(logits[row, columns - 1, text[columns]])
    return torch.cat(parts)


def with_gradients(model: PreTrainedModel, compute: Callable[[], Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad(set_to_none=True)
    values = compute()
    (values * torch.linspace(-1.0, 2.0, len(values))).sum().backward()
    return values.detach(), families.gradients(model)


def largest_relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("family", ALL)
def test_log_probabilities_and_gradients_equal_those_of_separate_padded_texts(family: str, name: str):
    examples = pairs_of(name)
    model = families.make_model(family).train()
    expected, expected_gradients = with_gradients(model, lambda: plain_log_probs(model, examples))
    policy = Policy(model, FP32).train()
    found, found_gradients = with_gradients(model, lambda: policy(collate(examples)).per_token)
    assert policy.verdict.layout == ("flat" if family in families.FLAT else "padded")
    assert largest_relative(found, expected) < 1e-4
    assert families.largest_relative(found_gradients, expected_gradients) < 1e-4


def test_branches_that_saw_each_other_would_be_noticed():
    """The control: with the rejected answer after the chosen one, its log-probabilities are far off."""
    examples = pairs_of("several pairs")
    model = families.make_model("llama")
    expected = plain_log_probs(model, examples)
    batch = collate(examples)
    spans = tuple(span if span.parent is None or index % 3 < 2 else type(span)(span.start, span.length, index - 1)
                  for index, span in enumerate(batch.spans))  # fmt: skip
    leaking = Batch(batch.input_ids, batch.position_ids, spans, batch.source, batch.target, batch.sequence,
                    batch.sequence_end, batch.num_examples)  # fmt: skip
    assert largest_relative(Policy(model, FP32)(leaking).per_token.detach(), expected.detach()) > 0.05


# Scores


def make_score_model(family: str) -> PreTrainedModel:
    config = ALL[family]()
    config.num_labels, config.pad_token_id = 1, PAD
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 or "bias" in name or "sinks" in name:
                parameter.normal_(std=0.15)
    return model


def has_class(family: str) -> bool:
    return type(ALL[family]()) in AutoModelForSequenceClassification._model_mapping


SCORED = [family for family in ALL if has_class(family)]


def plain_scores(model: PreTrainedModel, examples: Sequence[Example]) -> Tensor:
    """What AutoModelForSequenceClassification says of the padded rows."""
    ids, mask = padded(examples)
    return model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, 0]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("family", SCORED)
def test_scores_and_gradients_equal_those_of_separate_padded_texts(family: str, name: str):
    examples = pairs_of(name)
    model = make_score_model(family).train()
    expected, expected_gradients = with_gradients(model, lambda: plain_scores(model, examples))
    policy = ScorePolicy(model, FP32).train()
    found, found_gradients = with_gradients(model, lambda: policy(collate(examples)).values)
    assert policy.verdict.layout == ("flat" if family in families.FLAT else "padded")
    assert largest_relative(found, expected) < 1e-4
    assert families.largest_relative(found_gradients, expected_gradients) < 1e-4


def test_most_families_are_scored():
    assert len(SCORED) >= 10


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
def test_texts_that_end_in_the_pad_token_are_scored_where_transformers_reads(family: str):
    """Answers end in pad tokens, and one is nothing else: then transformers reads inside the prompt."""
    prompt = np.array([9, 10, 11], np.int32)
    answers = (np.array([20, PAD, PAD], np.int32), np.array([PAD], np.int32))
    example = Example(
        (
            Segment(prompt, np.zeros(3, np.bool_)),
            *(Segment(ids, np.ones(len(ids), np.bool_), parent=0, sequence=i) for i, ids in enumerate(answers)),
        ),
        num_sequences=2,
    )
    model = make_score_model(family).eval()
    expected = plain_scores(model, [example])
    assert largest_relative(ScorePolicy(model, FP32)(collate([example])).values.detach(), expected.detach()) < 1e-4
