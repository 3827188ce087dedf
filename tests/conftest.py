"""Small real things that all tests may use: a two-layer Llama on disk, its tokenizer, chat rows."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_double.fixtures import hub, hurried, nobody  # noqa: F401  (fixtures for all)
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("AUTOTRAIN_CACHE", "off")  # tests of the cache switch it on, in a folder of their own
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small matrices: a second thread only waits
# Under nohup, or behind a shell's `&`, what we start would ignore them, too; tests close terminals and press Ctrl-C.
for _number, _usual in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, _usual)
# How long an example takes says nothing on a machine that others use, too.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = (
    "red blue green small large round old new warm cold stone river tree house light paper glass table window door".split()
)


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test had hidden isn't hidden in the next one's output."""
    monkeypatch.setattr("autotrain.log._secrets", set())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets; only where they are laid out."""
    folder = os.environ.get("AUTOTRAIN_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip(reason="AUTOTRAIN_TEST_DATA names no folder with data sets")
    return Path(folder)


def chat_rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Small conversations, all different, with an answer that follows from the question."""
    rows = []
    for number in range(start, start + count):
        word = WORDS[number % len(WORDS)]
        question = f"Say {word} {1 + number // len(WORDS)} times."
        answer = " ".join([word] * (1 + number // len(WORDS))) + "."
        rows.append({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
    return rows


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def chat_folder(tmp_path: Path) -> Path:
    """A data folder with 24 conversations to train on and 6 to validate on."""
    folder = tmp_path / "data"
    write_jsonl(folder / "train.jsonl", chat_rows(24))
    write_jsonl(folder / "valid.jsonl", chat_rows(6, start=24))
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random Llama of two layers and a byte-level tokenizer that has ChatML's tokens and template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([json.dumps(row) for row in chat_rows(60)], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        bos_token="<|im_start|>",
        pad_token="<|endoftext|>",
        model_max_length=512,
    )
    fast.chat_template = CHATML
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def run_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Calls the worker in this process, from `tmp_path`, with parameters as keywords; returns its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*flags: str, entry: str = "train", **params: Any) -> int:
        from autotrain.trainers.clm.__main__ import main

        config = tmp_path / "params.json"
        config.write_text(json.dumps(params), encoding="utf-8")
        return main([entry, "--training_config", str(config), *flags])

    return run
