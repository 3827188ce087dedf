"""What does it cost to come from the command to the first step, and does memory grow with the rows?

    python benchmarks/data_path.py --rows 50000               # CPU seconds and peak memory: a first start, then a second
    python benchmarks/data_path.py --rows 1000 1000000        # several sizes: memory should stay where it is
    python benchmarks/data_path.py --rows 50000 --data chats.jsonl --tokenizer smollm2-135m

Chats are generated (words as often as in language, numbers, names that occur once; about 200 tokens a row), the model has
two layers and random weights, and the run stops after its first step.  Everything is written into a temporary folder.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

NUM_WORDS = 60_000
NUM_TURNS = (2, 2, 4, 6)
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_words(chance: random.Random) -> list[str]:
    """Words of one to four syllables, the frequent ones short."""
    syllables = [a + b + c for a in "bcdfghlmnprstvw" for b in "aeiou" for c in ("", "n", "r", "s", "t")]
    return [
        "".join(chance.choices(syllables, k=1 + (rank > 300) + (rank > 3000) + (rank > 20000))) for rank in range(NUM_WORDS)
    ]


def chats(num_rows: int) -> Iterator[dict[str, Any]]:
    """Conversations of about 200 tokens: words by Zipf's law, some with a comma, a number or a name of its own."""
    chance = random.Random(0)
    words = make_words(chance)
    weights = list(accumulate(1 / (rank + 2.7) for rank in range(NUM_WORDS)))

    def said(length: int) -> str:
        some = chance.choices(words, cum_weights=weights, k=length)
        some[chance.randrange(length)] += ","
        if chance.random() < 0.3:
            some.append(str(chance.randrange(10_000)))
        if chance.random() < 0.1:
            some.append(f"Id{chance.randrange(10**9):x}")
        return " ".join(some).capitalize() + "."

    for _ in range(num_rows):
        num_turns = chance.choice(NUM_TURNS)
        yield {
            "messages": [
                {"role": ("user", "assistant")[turn % 2], "content": said(chance.randint(10, 220 // num_turns))}
                for turn in range(num_turns)
            ]
        }


def write_chats(path: Path, num_rows: int) -> None:
    """Row by row, without holding them."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in chats(num_rows))


def make_model(folder: Path, tokenizer_of: str | None) -> None:
    """Two layers of random weights; its tokenizer is trained on the generated chats, or that of a base model."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from autotrain.base_models import find_model

    if tokenizer_of:
        source = find_model(tokenizer_of)
        tokenizer = AutoTokenizer.from_pretrained(source.path, **source.load_arguments)
    else:
        tokenizer = train_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def train_tokenizer() -> Any:
    """Byte-level BPE as GPT-2's, with ChatML's tokens and template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=16_000,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator((turn["content"] for row in chats(2000) for turn in row["messages"]), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    return tokenizer


def start(folder: Path, model: Path, data: Path, project: str, cache: str) -> dict[str, float]:
    """One start of a worker, up to its first step and no further."""
    fields = {
        "model": str(model),
        "project_name": project,
        "trainer": "sft",
        "data_path": str(data),
        "peft": True,
        "max_hours": 1e-9,
        "batch_size": 4,
        "gradient_accumulation": 1,
        "block_size": 1024,
    }
    config = folder / f"{project}.json"
    config.write_text(json.dumps(fields), encoding="utf-8")
    environment = {**os.environ, "AUTOTRAIN_HOME": str(folder / "home"), "AUTOTRAIN_CACHE": cache, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "autotrain.trainers.clm", "train", "--training_config", str(config), "--overwrite"]
    with (folder / f"{project}.log").open("wb") as log:
        worker = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(worker.pid, 0)
    if status:
        raise SystemExit((folder / f"{project}.log").read_text(encoding="utf-8"))
    run = json.loads((folder / project / "run.json").read_text(encoding="utf-8"))
    return {
        "start_cpu_seconds": run["timings"]["start_cpu_seconds"],
        "start_seconds": run["timings"]["start_seconds"],
        "peak_rss_mib": round(usage.ru_maxrss / 1024, 1),
        "rows": run["data"]["train"]["rows_out"],
        "tokens": run["tokens"]["train"]["tokens"],
    }


def measure(num_rows: Sequence[int], data: Path | None, tokenizer_of: str | None) -> list[dict[str, Any]]:
    """For each number of rows: a start that keeps nothing, a first start, and a second."""
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="autotrain-data-path-") as temporary:
        folder = Path(temporary)
        make_model(folder / "model", tokenizer_of)
        for number in num_rows:
            file = data or folder / f"chats-{number}.jsonl"
            if data is None:
                write_chats(file, number)
            for name, cache in (("cache off", "off"), ("first start", "on"), ("second start", "on")):
                result = {"start": name, **start(folder, folder / "model", file.absolute(), f"run-{number}", cache)}
                results.append(result)
                sys.stdout.write(
                    f"{result['rows']:>9,} rows, {result['tokens']:>12,} tokens  {name:<13}"
                    f"{result['start_cpu_seconds']:>9.2f} CPU-s {result['start_seconds']:>9.2f} s"
                    f"{result['peak_rss_mib']:>9.0f} MiB at most\n"
                )
                sys.stdout.flush()
            if data is None:
                file.unlink()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000], help="how many chats to generate")
    parser.add_argument("--data", type=Path, help="a file of conversations, in place of generated ones")
    parser.add_argument("--tokenizer", help="base model whose tokenizer is taken, in place of one trained on the chats")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    results = measure(options.rows[:1] if options.data else options.rows, options.data, options.tokenizer)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
