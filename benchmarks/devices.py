"""What several devices cost and save: memory by arithmetic, and the time of two processes beside one, measured.

    python benchmarks/devices.py memory                    # tables of docs/scaling.md; --write puts them there
    python benchmarks/devices.py overhead --pairs 5        # two processes beside one on this machine; --write

Memory is what the planner foresees (models/memory.py) for Llama's shapes, without a weight: of each device, with DDP on one
device and FSDP on more, for 4,096 tokens a micro-batch with all layers computed again.  The overhead compares runs of
`autotrain llm --train` on the same rows with the same rows a step: one process with all cores, two with half of them each.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
COUNTS = (1, 2, 4, 8, 16, 64)
TOKENS = 4096
# hidden, inner, layers, heads, heads of keys, vocabulary: of Llama 3.2 1B and 3B, 3.1 8B, Qwen2.5 32B, Llama 3.1 70B.
SHAPES = {
    "1B": (2048, 8192, 16, 32, 8, 128256),
    "3B": (3072, 8192, 28, 24, 8, 128256),
    "8B": (4096, 14336, 32, 32, 8, 128256),
    "32B": (5120, 27648, 64, 40, 8, 152064),
    "70B": (8192, 28672, 80, 64, 8, 128256),
}
KINDS = {"all weights, bf16": (False, None), "LoRA r = 16, bf16": (True, None), "LoRA r = 16, int4": (True, "int4")}


@dataclass(frozen=True)
class Need:
    """Bytes of one device."""

    fixed: int
    activations: int

    @property
    def total(self) -> int:
        return self.fixed + self.activations


def needs(shape: Sequence[int], peft: bool, quantization: str | None, counts: Sequence[int]) -> list[Need]:
    """Of each device, with so many of them; the model is made without a weight."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from autotrain.models.adapters import add_adapter
    from autotrain.models.memory import Computation, estimate_memory
    from autotrain.params import LLMTrainingParams

    hidden, inner, layers, heads, keys, vocabulary = shape
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys,
        vocab_size=vocabulary,
        tie_word_embeddings=layers < 32,
    )
    with torch.device("meta"):
        model: Any = LlamaForCausalLM(config).to(torch.bfloat16 if peft else torch.float32)
        if peft:
            model = add_adapter(model, LLMTrainingParams(peft=True), ())
    computation = Computation("cuda", 2, fast_layers=False, trains_base=not peft)
    estimate = estimate_memory(model, config, computation)
    if quantization:
        estimate = _in_4_bits(model, estimate)
    result: list[Need] = []
    for count in counts:
        # Packed weights aren't cut up: the planner's own rule for those would be wrong here.
        share = estimate.shared_by(count) if not quantization else estimate
        result.append(Need(share.fixed, share.activations(TOKENS, TOKENS, layers)))
    return result


def _in_4_bits(model: Any, estimate: Any) -> Any:
    """Matrices of the layers in 4 bits and a scale of 4 bytes for 64 of them; the rest as it is."""
    from dataclasses import replace

    inside = sum(
        weight.numel()
        for name, weight in model.named_parameters()
        if ".layers." in name and "lora" not in name and weight.ndim > 1
    )
    return replace(estimate, weights=estimate.weights - 2 * inside + int(inside * (0.5 + 4 / 64)))


def memory_table() -> str:
    """One table a kind of training, in GB of each device."""
    parts: list[str] = []
    for kind, (peft, quantization) in KINDS.items():
        counts = COUNTS if not quantization else (1,)
        heads = " | ".join(f"{count} device{'s' if count > 1 else ''}" for count in counts)
        lines = [f"{kind}:", "", f"| model | {heads} |", "| --- |" + " ---: |" * len(counts)]
        for name, shape in SHAPES.items():
            cells = " | ".join(f"{need.total / 1e9:,.0f}" for need in needs(shape, peft, quantization, counts))
            lines.append(f"| {name} | {cells} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def rows(count: int) -> list[dict[str, Any]]:
    """Conversations of different lengths."""
    words = "red blue green small large round old new warm cold stone river tree house light paper".split()
    made: list[dict[str, Any]] = []
    for number in range(count):
        question = f"Case {number}: " + " ".join(words[(number * 7 + place) % 16] for place in range(8 + number % 17))
        answer = " ".join(words[(number * 3 + place) % 16] for place in range(20 + (number * 13) % 90))
        made.append({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
    return made


def measure(model: str, folder: Path, name: str, devices: int, way: str | None) -> dict[str, float]:
    """Tokens a second of the steps, and the leader's peak memory, of a run with 16 rows a step."""
    command = [sys.executable, "-m", "autotrain", "llm", "--train", "--trainer", "sft", "--model", model]
    command += ["--data-path", str(folder / "data"), "--project-name", name, "--peft", "--mixed-precision", "auto"]
    command += [
        "--batch-size",
        str(16 // devices),
        "--gradient-accumulation",
        "1",
        "--lora-dropout",
        "0",
        "--devices",
        str(devices),
    ]
    command += ["--distributed-backend", way] if way else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // devices))}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    run = json.loads((folder / name / "run.json").read_text())
    return {"speed": run["timings"]["tokens_per_second"], "memory": run["memory"]["measured_peak_bytes"]}


def overhead(model: str, pairs: int) -> dict[str, Any]:
    """Two processes beside one, in turn."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "data").mkdir()
        (folder / "data" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(192)))
        found: dict[str, list[dict[str, float]]] = {"one": [], "ddp": [], "fsdp": []}
        for number in range(pairs):
            for kind in found:
                devices, way = (1, None) if kind == "one" else (2, kind)
                found[kind].append(measure(model, folder, f"{kind}-{number}", devices, way))
                sys.stderr.write(f"{kind:5} {found[kind][-1]['speed']:8.1f} tokens/s\n")
    ones = found["one"]
    result: dict[str, Any] = {"pairs": pairs}
    for way in ("ddp", "fsdp"):
        ratios = [two["speed"] / one["speed"] for two, one in zip(found[way], ones, strict=True)]
        memory = statistics.median(two["memory"] / one["memory"] for two, one in zip(found[way], ones, strict=True))
        result[way] = {"speed": statistics.median(ratios), "least": min(ratios), "most": max(ratios), "memory": memory}
    return result


def overhead_table(result: dict[str, Any]) -> str:
    """Ratios, as the page shows them."""
    lines = ["| two processes | speed of one process | least to greatest | memory of each |", "| --- | ---: | ---: | ---: |"]
    for way in ("ddp", "fsdp"):
        one = result[way]
        lines.append(f"| {way} | {one['speed']:.2f} | {one['least']:.2f} to {one['most']:.2f} | {one['memory']:.2f} |")
    return "\n".join(lines)


def put(mark: str, text: str) -> None:
    """Replace what stands between the page's comments named `mark`."""
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- end -->)", re.DOTALL)
    PAGE.write_text(pattern.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "overhead"))
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="put it into docs/scaling.md")
    options = parser.parse_args()
    make: Callable[[], str] = memory_table
    if options.what == "overhead":
        make = lambda: overhead_table(overhead(options.model, options.pairs))  # noqa: E731
    text = make()
    sys.stdout.write(text + "\n")
    if options.write:
        put(options.what, text)


if __name__ == "__main__":
    main()
