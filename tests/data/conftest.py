"""A tokenizer trained on the spot, chat templates that behave like the known ones, and small ways to make data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from autotrain import log
from autotrain.base_models import find_model
from autotrain.data.lengths import Lengths
from autotrain.data.pairs import SampleKind
from autotrain.data.report import RowsReport
from autotrain.data.samples import open_split
from autotrain.data.tokenize import load_examples
from autotrain.data.tokenizer import LoadedTokenizer, load_tokenizer
from autotrain.trainers.clm.params import LLMTrainingParams

CORPUS = [
    "the quick brown fox jumps over the lazy dog and then the dog sleeps in the warm sun",
    "what is two plus two? two plus two is four. hello there, how are you today?",
    "system user assistant tool messages are written\nline after line\n\nand end",
]


def train_tokenizer(special: tuple[str, ...] = (), *, bos: str | None = None, eos: str = "</s>") -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; with `bos`, it puts that before each text by habit."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = list(dict.fromkeys([*([bos] if bos else []), eos, *special]))
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[AddedToken(name, special=True, normalized=False) for name in names],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos)


def loaded_of(tokenizer: PreTrainedTokenizerFast, template: str | None = None) -> LoadedTokenizer:
    """As load_tokenizer would give it, around a tokenizer at hand."""
    eos = int(tokenizer.eos_token_id)
    prefix = tuple(tokenizer("a")["input_ids"][:-1])
    return LoadedTokenizer(tokenizer, template, (), eos, (eos,), prefix)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(("<|im_start|>", "<|im_end|>"))


@pytest.fixture(scope="session")
def smollm2() -> Any:
    params = LLMTrainingParams(model="smollm2-135m")
    return load_tokenizer(params, find_model("smollm2-135m"), needs_chat=True)


@pytest.fixture(autouse=True)
def fresh_notices() -> None:
    """A notice is said once in a process; here, once in a test."""
    log._said.clear()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """write(name, text) or write(name, rows): a file in a fresh folder; rows become JSON lines."""

    def write_file(name: str, content: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content, encoding="utf-8", newline="")
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def load(tokenizer: PreTrainedTokenizerFast) -> Callable[..., Any]:
    """load(path, kind=…, block_size=…, **params): the store and the report of a train split."""

    def load_split(
        path: Path,
        *,
        kind: SampleKind = "text",
        block_size: int = 1024,
        loaded: LoadedTokenizer | None = None,
        trains_prompt: bool = False,
        **fields: Any,
    ) -> Any:
        params = LLMTrainingParams(data_path=str(path), **{"trainer": "sft", **fields})
        source = open_split(params, "train", kind)
        if loaded is None:
            tokenizer.chat_template = CHATML
            loaded = loaded_of(tokenizer)
        report = RowsReport()
        lengths = Lengths(block_size, (block_size,), 2048)
        store = load_examples(params, source, loaded, lengths, report, trains_prompt=trains_prompt)
        return store, report

    return load_split


@pytest.fixture
def load_pairs(load: Callable[..., Any]) -> Callable[..., Any]:
    """As `load`, for pairs: trainer dpo unless another is named."""

    def load_split(path: Path, **fields: Any) -> Any:
        return load(path, **{"kind": "pair", "trainer": "dpo", **fields})

    return load_split


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def make_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    return train_tokenizer


@pytest.fixture
def around() -> Callable[..., LoadedTokenizer]:
    return loaded_of
