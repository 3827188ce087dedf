"""How does speed change with the length of documents, and with the number of rows?  Attention alone may bend it.

    python benchmarks/scaling.py                                # SmolLM2-135M, LoRA, bf16; some minutes
    python benchmarks/scaling.py --write                        # and draw docs/images/scaling.svg
    python benchmarks/scaling.py --model FOLDER --lengths 128 512 --rows 1000 10000 --repeat 1

Documents of random ids, all of one length; a step is forward and backward over about as many tokens each time, taken from a
store of so many rows in the order of a run.  The figure is the median of the repeats.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from autotrain import objectives
from autotrain.base_models import find_model
from autotrain.data.batches import Batches, Singles
from autotrain.data.store import ExampleStore
from autotrain.models.load import load_model
from autotrain.models.network import Network
from autotrain.models.precision import choose_device, choose_precision
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.training.step import Examples, accumulate
from autotrain.types import Example, Origin, Segment

LENGTHS = (128, 256, 512, 1024, 2048, 4096, 8192)
ROWS = (1_000, 10_000, 100_000, 1_000_000)
ROW_TOKENS = 128
STEP_TOKENS = 2048
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scaling.svg"


def make_store(num_rows: int, length: int, vocabulary: int) -> ExampleStore:
    """Rows of random ids, all of them trained on."""
    store, generator = ExampleStore(), np.random.default_rng(0)
    trained = np.ones(length, np.bool_)
    for line in range(num_rows):
        ids = generator.integers(0, vocabulary, length, dtype=np.int32)
        store.append(Example((Segment(ids, trained),)), Origin("random", line))
    return store


def speed(policy: Network, params: LLMTrainingParams, num_rows: int, length: int, repeat: int) -> float:
    """Tokens a second, the median of `repeat` steps after a first one."""
    objective = objectives.build("sft", params.model_dump())
    rows_per_step = max(1, STEP_TOKENS // length)
    vocabulary = int(policy.pretrained.config.get_text_config().vocab_size)
    with make_store(max(num_rows, rows_per_step * (repeat + 1)), length, vocabulary) as store:
        batches = Batches(store, units=Singles(len(store)), units_per_step=rows_per_step, epochs=1, seed=0)
        seconds: list[float] = []
        for step in range(repeat + 1):
            started = time.perf_counter()
            accumulate(policy, objective, Examples(store), batches.step(step), max(STEP_TOKENS, length))
            seconds.append(time.perf_counter() - started)
            policy.zero_grad(set_to_none=True)
    return rows_per_step * length / statistics.median(seconds[1:])


def draw(by_length: dict[int, float], by_rows: dict[int, float]) -> str:
    """An SVG picture: two panels side by side, both from 0, the horizontal axes logarithmic."""
    top = max(*by_length.values(), *by_rows.values()) * 1.15
    panels = (panel(by_length, "tokens of a document", 60, top), panel(by_rows, f"rows of {ROW_TOKENS} tokens", 440, top))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 320" font-family="sans-serif" font-size="12">'
        '<rect width="800" height="320" fill="white"/>'
        '<text x="400" y="22" text-anchor="middle" font-size="14">tokens a second, relative to the fastest</text>'
        f"{''.join(panels)}</svg>\n"
    )


def panel(values: dict[int, float], title: str, left: int, top: float) -> str:
    """One line of points; width 320, height 220."""
    places = np.log(list(values))
    across = (places - places[0]) / max(places[-1] - places[0], 1e-9) * 320 + left
    largest = max(values.values())
    points = [(float(x), 260 - 220 * value / top) for x, value in zip(across, values.values(), strict=True)]
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y in points)
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#1f6feb"/>'
        f'<text x="{x:.0f}" y="{y - 9:.0f}" text-anchor="middle">{value / largest:.2f}</text>'
        f'<text x="{x:.0f}" y="276" text-anchor="middle">{size:,}</text>'
        for (x, y), (size, value) in zip(points, values.items(), strict=True)
    )
    return (
        f'<path d="M{left} 40V260H{left + 330}" fill="none" stroke="#666"/>'
        f'<polyline points="{line}" fill="none" stroke="#1f6feb" stroke-width="2"/>{marks}'
        f'<text x="{left + 160}" y="300" text-anchor="middle">{title}</text>'
    )


def load(model: str) -> tuple[Network, LLMTrainingParams]:
    """The model under LoRA in the fast precision of this machine."""
    params = LLMTrainingParams(
        model=model, trainer="sft", peft=True, lora_r=16, lora_dropout=0.0, quantization=None, mixed_precision="auto"
    )
    device = choose_device()
    policy = load_model(
        params,
        find_model(params.model),
        vocabulary_size=0,
        new_token_ids=(),
        device=device,
        precision=choose_precision(params, device),
        quantization=None,
        seed=0,
    )
    return policy.train(), params


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--repeat", type=int, default=5, help="steps that are timed")
    parser.add_argument("--write", action="store_true", help=f"draw {PICTURE.name} for the docs")
    chosen = parser.parse_args(arguments)
    policy, params = load(chosen.model)
    torch.manual_seed(0)
    by_length: dict[int, float] = {}
    by_rows: dict[int, float] = {}
    for length in chosen.lengths:
        by_length[length] = speed(policy, params, 1, length, chosen.repeat)
        sys.stdout.write(f"{length:>9,} tokens a document: {by_length[length]:8,.0f} tokens a second\n")
    for num_rows in chosen.rows:
        by_rows[num_rows] = speed(policy, params, num_rows, ROW_TOKENS, chosen.repeat)
        sys.stdout.write(f"{num_rows:>9,} rows:              {by_rows[num_rows]:8,.0f} tokens a second\n")
    sys.stdout.write(json.dumps({"by_length": by_length, "by_rows": by_rows}) + "\n")
    if chosen.write:
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_text(draw(by_length, by_rows), encoding="utf-8")


if __name__ == "__main__":
    main()
