"""The same small world for both sides: pairs as token ids, the texts that mean them, and two random models."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

VOCABULARY = 211
PADDING, END = 0, 1  # ids; no pair contains padding, and every answer ends with END
NUM_STEPS, PAIRS_PER_STEP = 3, 4
TABLE = "parity"


@dataclass(frozen=True)
class Pair:
    """Token ids; margin: by how much the chosen answer is better."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]
    margin: float


@dataclass(frozen=True)
class World:
    """folder: holds the models `base` (causal), `other` (not far from it) and `scorer` (with a one-logit head).

    steps: the pairs of each optimizer step.
    """

    folder: Path
    steps: Sequence[Sequence[Pair]]

    def rows(self, *, with_margin: bool) -> list[dict[str, Any]]:
        """The pairs as texts, which the tokenizer beside the models turns into the same ids."""
        return [
            {"prompt": _text(pair.prompt), "chosen": " " + _text(pair.chosen), "rejected": " " + _text(pair.rejected)}
            | ({"margin": pair.margin} if with_margin else {})
            for step in self.steps
            for pair in step
        ]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Six pairs, taken four at a time: a step sees pairs that an earlier step has learned from, and others."""
    folder = tmp_path_factory.mktemp("parity")
    _save_tokenizer(folder)
    _save_models(folder)
    draw = random.Random(0)
    lengths = [(1, 1, 9), (14, 6, 1), (20, 12, 3), (3, 5, 5), (9, 2, 16), (6, 15, 11)]  # prompt, chosen, rejected
    pairs = [
        Pair(_ids(draw, prompt), [*_ids(draw, chosen - 1), END], [*_ids(draw, rejected - 1), END], draw.uniform(0, 2))
        for prompt, chosen, rejected in lengths
    ]
    places = [range(step * PAIRS_PER_STEP, (step + 1) * PAIRS_PER_STEP) for step in range(NUM_STEPS)]
    return World(folder, [[pairs[place % len(pairs)] for place in step] for step in places])


def _ids(draw: random.Random, length: int) -> list[int]:
    return [draw.randrange(END + 1, VOCABULARY) for _ in range(length)]


def _words() -> list[str]:
    return ["<pad>", "</s>", *(f"w{number:03}" for number in range(END + 1, VOCABULARY))]


def _text(ids: Sequence[int]) -> str:
    words = _words()
    return " ".join(words[token] for token in ids)


def _save_tokenizer(folder: Path) -> None:
    """A word for every id, and nothing added but the end of text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: token for token, word in enumerate(_words())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>").save_pretrained(folder / "base")


def _save_models(folder: Path) -> None:
    """Weights of standard deviation 0.15, so that attention isn't flat and errors show."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    fields = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": False,
        "pad_token_id": PADDING,
        "eos_token_id": END,
        "bos_token_id": None,
    }
    base, scorer = (
        LlamaForCausalLM(LlamaConfig(**fields)),
        LlamaForSequenceClassification(LlamaConfig(**fields, num_labels=1)),
    )
    for model, name in ((base, "base"), (scorer, "scorer")):
        torch.manual_seed(0)
        _shake(model, keep=0.0, std=0.15)
        model.save_pretrained(folder / name)
    _shake(base, keep=1.0, std=0.05)
    base.save_pretrained(folder / "other")


def _shake(model: Any, *, keep: float, std: float) -> None:
    """Make of every matrix `keep` times itself plus noise."""
    import torch

    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(keep).add_(torch.randn_like(parameter), alpha=std)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, case by case."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    rows = [row for report in reports for name, row in report.user_properties if name == TABLE]
    if rows:
        terminalreporter.section("ours beside TRL's: the first three steps")
        terminalreporter.write_line("| case | our losses | TRL's losses | largest relative difference | of the weights |")
        terminalreporter.write_line("| --- | --- | --- | --- | --- |")
        for row in rows:
            terminalreporter.write_line(row)
