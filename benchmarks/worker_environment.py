"""What do allocator and OpenMP settings do for a worker?  Times a small training in fresh processes, settings in turn.

    python benchmarks/worker_environment.py                          # on a machine with nothing else to do
    python benchmarks/worker_environment.py --busy 2                 # beside two processes that only compute
    python benchmarks/worker_environment.py --settings stock chosen --rounds 7

The model has SmolLM2-135M's shapes, fewer layers and random weights; the training is our own, with batches of many
lengths.  `stock` is no setting at all, `chosen` what the launcher sets (src/autotrain/backends/environment.py).
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autotrain.backends.environment import speed_settings
from autotrain.params import LLMTrainingParams

MALLOC = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**36)}
SETTINGS: dict[str, dict[str, str]] = {
    "stock": {},
    "chosen": speed_settings(LLMTrainingParams(), {}),
    "malloc pad 256M": {**MALLOC, "MALLOC_TOP_PAD_": str(2**28)},
    "malloc pad 64M": {**MALLOC, "MALLOC_TOP_PAD_": str(2**26)},
    "malloc 1 arena": {**MALLOC, "MALLOC_TOP_PAD_": str(2**26), "MALLOC_ARENA_MAX": "1"},
    "malloc huge pages": {**MALLOC, "MALLOC_TOP_PAD_": str(2**26), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "torch huge pages": {"THP_MEM_ALLOC_ENABLE": "1"},
    "256 shapes": {"LRU_CACHE_CAPACITY": "128", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256"},
    "1024 shapes": {"LRU_CACHE_CAPACITY": "512", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "1024"},
    "96 shapes": {"LRU_CACHE_CAPACITY": "96", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "96"},
    "64 shapes": {"LRU_CACHE_CAPACITY": "64", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "spin 30000": {"GOMP_SPINCOUNT": "30000"},
}
OURS = frozenset(name for setting in SETTINGS.values() for name in setting)
SPIN = "while True: pass"


def make_model(folder: Path, num_layers: int) -> None:
    """A Llama with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=num_layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
        dtype=torch.bfloat16,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def work(folder: Path, precision: str, is_full: bool, num_steps: int) -> dict[str, Any]:
    """Train in this process; two steps before the measured ones.  Seconds, tokens and bytes."""
    import numpy as np
    import torch

    from autotrain.base_models import ModelSource
    from autotrain.data.store import ExampleStore
    from autotrain.models.load import choose_precision, load_model
    from autotrain.objectives import build
    from autotrain.training.step import Examples, accumulate
    from autotrain.types import Example, Origin, Segment

    params = LLMTrainingParams(
        model=str(folder), trainer="sft", peft=not is_full, mixed_precision=None if precision == "fp32" else "bf16"
    )
    device = torch.device("cpu")
    policy = load_model(
        params,
        ModelSource(str(folder)),
        vocabulary_size=49152,
        new_token_ids=(),
        device=device,
        precision=choose_precision(params, device),
        quantization=None,
        seed=0,
    )
    random = np.random.default_rng(0)
    with ExampleStore() as store:
        for length in random.integers(60, 500, size=8 * (num_steps + 2)):
            trained = np.arange(length) > length // 2
            ids = random.integers(0, 49152, size=length).astype(np.int32)
            store.append(Example((Segment(ids, trained),)), Origin("random", 1))
        objective = build("sft", params.model_dump())
        optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-4, fused=True)
        policy.train()
        tokens, started, cpu_started, faults = 0, 0.0, 0.0, 0
        for step in range(num_steps + 2):
            if step == 2:
                tokens, started, cpu_started, faults = 0, time.perf_counter(), time.process_time(), _page_faults()
            result = accumulate(policy, objective, Examples(store), range(8 * step, 8 * step + 8), 2048)
            optimizer.step()
            optimizer.zero_grad()
            tokens += result.num_tokens
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return {
        "tokens_per_second": tokens / seconds,
        "cpu_seconds_per_1000_tokens": 1000 * cpu_seconds / tokens,
        "page_faults": _page_faults() - faults,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "loss": result.loss,
    }


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def run(setting: dict[str, str], arguments: Sequence[str]) -> dict[str, Any]:
    """`work` in a process of its own with this setting; what else of our names the environment has is taken out."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS} | setting
    command = [sys.executable, __file__, "--work", *arguments]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Medians, and the spread of the speed, against the first setting."""
    lines = [
        "| setting | tokens/s | of the first | spread | CPU-s per 1000 tokens | peak MB | page faults |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    first = next(iter(results))
    rate = {name: [run["tokens_per_second"] for run in runs] for name, runs in results.items()}
    for name, runs in results.items():
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        ratios = [mine / theirs for mine, theirs in zip(rate[name], rate[first], strict=True)]
        lines.append(
            f"| {name} | {median['tokens_per_second']:.0f} | {statistics.median(ratios):.3f} "
            f"| {min(rate[name]):.0f} to {max(rate[name]):.0f} | {median['cpu_seconds_per_1000_tokens']:.3f} "
            f"| {median['peak_bytes'] / 1e6:.0f} | {median['page_faults']:.0f} |"
        )
    return "\n".join(lines)


def measure(names: Sequence[str], rounds: int, num_busy: int, arguments: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Each setting once a round; every second round backwards."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    busy = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(num_busy)]
    try:
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                results[name].append(run(SETTINGS[name], arguments))
                sys.stderr.write(f"round {number + 1} of {rounds}, {name}: {results[name][-1]}\n")
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--full", action="store_true", help="train all weights instead of an adapter")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--work", type=Path, metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        sys.stdout.write(json.dumps(work(arguments.work, arguments.precision, arguments.full, arguments.steps)) + "\n")
        return 0
    with tempfile.TemporaryDirectory(prefix="autotrain-") as folder:
        make_model(Path(folder), arguments.layers)
        passed = [folder, "--precision", arguments.precision, "--steps", str(arguments.steps)]
        passed += ["--full"] if arguments.full else []
        results = measure(arguments.settings, arguments.rounds, arguments.busy, passed)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2), encoding="utf-8")
    sys.stdout.write(table(results) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
