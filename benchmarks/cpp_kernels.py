"""How long each op takes: by its C++ kernel, by its plain twin, and as torch and transformers spell it.

    python benchmarks/cpp_kernels.py                   # one thread
    python benchmarks/cpp_kernels.py --threads 2 --seconds 1
    python benchmarks/cpp_kernels.py --onednn          # float32 products of torch and of the twins as a run makes them

Shapes are those of SmolLM2-135M: 1,500 tokens, hidden size 576, feed-forward 1,536, vocabulary 49,152; attention of 9 heads
with 3 of keys, over texts of one length; LoRA of several ranks, by the kernels also where `ops` leaves it to torch.
Backward passes of torch's own are timed by autograd, with the graph of the forward pass kept.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from autotrain.models.fast.attention import attend, attend_backward
from autotrain.models.fast.onednn import use_onednn
from autotrain.models.kernels import library, native, ops, plain
from autotrain.models.kernels.tiles import Heads
from autotrain.models.layout import make_layout
from autotrain.types import Span

TOKENS, HIDDEN, WIDTH, HEADS, KEY_HEADS, HEAD_SIZE, VOCABULARY, TARGETS = 1500, 576, 1536, 9, 3, 64, 49_152, 128
LENGTHS = (60, 200, 500, 1500)
RANKS = (8, 16, 48, 64)
MIN_CALLS, WARM_CALLS = 5, 2

Work = Callable[[], object]


@dataclass(frozen=True)
class Entry:
    """One line: ours runs by kernel or by twin; torch's is as a model without us would do it.

    twin: where `ours` is the kernel, whatever is allowed.
    """

    name: str
    ours: Work
    theirs: Work
    twin: Work | None = None


def median_milliseconds(work: Work, seconds: float) -> float:
    """The median over as many calls as fit into `seconds`."""
    for _ in range(WARM_CALLS):
        work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < MIN_CALLS:
        started = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def normal(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(shape).to(dtype)


def backward(result: Tensor, inputs: list[Tensor], grad: Tensor) -> Work:
    """torch's own backward pass, again and again."""
    return lambda: torch.autograd.grad(result, inputs, grad, retain_graph=True)


def norm_entries(dtype: torch.dtype) -> list[Entry]:
    x, delta, grad = (normal(TOKENS, HIDDEN, dtype=dtype) for _ in range(3))
    norm = LlamaRMSNorm(HIDDEN, 1e-5).to(dtype).requires_grad_(False)
    _, rstd = ops.rms_norm(x, norm.weight, 1e-5, dtype)
    leaf = x.clone().requires_grad_()

    def add_and_norm() -> tuple[Tensor, Tensor]:
        total = x + delta
        return total, norm(total)

    return [
        Entry("rms_norm", lambda: ops.rms_norm(x, norm.weight, 1e-5, dtype), lambda: norm(x)),
        Entry("add_rms_norm", lambda: ops.add_rms_norm(x, delta, norm.weight, 1e-5, dtype), add_and_norm),
        Entry(
            "rms_norm_backward",
            lambda: ops.rms_norm_backward(grad, x, norm.weight, rstd, delta),
            backward(norm(leaf), [leaf], grad),
        ),
    ]


def feed_forward_entries(dtype: torch.dtype) -> list[Entry]:
    gate, up, grad = (normal(TOKENS, WIDTH, dtype=dtype) for _ in range(3))
    leaves = [gate.clone().requires_grad_(), up.clone().requires_grad_()]
    theirs = functional.silu(leaves[0]) * leaves[1]
    return [
        Entry("swiglu", lambda: ops.swiglu(gate, up), lambda: functional.silu(gate) * up),
        Entry("swiglu_backward", lambda: ops.swiglu_backward(grad, gate, up), backward(theirs, leaves, grad)),
        Entry("dropout", lambda: ops.dropout(gate, 0.05, seed=1), lambda: functional.dropout(gate, 0.05)),
    ]


def rope_entries(dtype: torch.dtype) -> list[Entry]:
    x = normal(TOKENS, HIDDEN, dtype=dtype)
    cos, sin = (normal(TOKENS, HEAD_SIZE, dtype=dtype).clamp(-1, 1) for _ in range(2))
    heads, no_keys = x.view(1, TOKENS, HEADS, HEAD_SIZE).transpose(1, 2), x.new_empty(1, 0, TOKENS, HEAD_SIZE)
    return [
        Entry(
            "rope_",
            lambda: ops.rope_(x, HEADS, cos, sin),
            lambda: apply_rotary_pos_emb(heads, no_keys, cos[None], sin[None]),
        )
    ]


def attention_entries(dtype: torch.dtype, length: int) -> list[Entry]:
    """Texts of so many tokens each, against torch's attention text by text."""
    texts = make_layout([Span(start, length) for start in range(0, TOKENS - length + 1, length)])
    heads, count = Heads(HEADS, KEY_HEADS, HEAD_SIZE**-0.5), texts.num_tokens
    query, grad = (normal(count, HEADS * HEAD_SIZE, dtype=dtype) for _ in range(2))
    key, value = (normal(count, KEY_HEADS * HEAD_SIZE, dtype=dtype) for _ in range(2))
    out, sums = attend(query, key, value, texts, heads)
    tiles = texts.tiles(None, KEY_HEADS)
    leaves = [tensor.clone().requires_grad_() for tensor in (query, key, value)]

    def theirs(*rows: Tensor) -> Tensor:
        by_text = [one.view(1, -1, length, one.shape[1] // HEAD_SIZE, HEAD_SIZE).transpose(2, 3)[0] for one in rows]
        made = functional.scaled_dot_product_attention(*by_text, is_causal=True, enable_gqa=True)
        return made.transpose(1, 2).reshape(count, -1)

    return [
        Entry(
            f"attention, texts of {length}",
            lambda: attend(query, key, value, texts, heads),
            lambda: theirs(query, key, value),
            lambda: plain.attention(query, key, value, tiles, heads),
        ),
        Entry(
            f"attention_backward, texts of {length}",
            lambda: attend_backward(grad, query, key, value, out, sums, texts, heads),
            backward(theirs(*leaves), leaves, grad),
            lambda: plain.attention_backward(grad, query, key, value, out, sums, tiles, heads),
        ),
    ]


def lora_entries(dtype: torch.dtype, rank: int) -> list[Entry]:
    """The narrow products of gate's adapter, its matrices in float32, as they are trained."""
    kernels = library.compiled()
    assert kernels is not None
    x, grad, narrow, by_narrow = (normal(TOKENS, width, dtype=dtype) for width in (HIDDEN, WIDTH, rank, rank))
    out = torch.zeros_like(grad)
    down, up = torch.randn(rank, HIDDEN), torch.randn(WIDTH, rank)

    def theirs_backward() -> tuple[Tensor, Tensor]:
        torch.mm(grad, up.to(dtype), out=by_narrow).mul_(2.0)
        return by_narrow, (grad.T @ narrow).float().mul_(2.0)

    return [
        Entry(
            f"lora_shrink, rank {rank}",
            lambda: native.lora_shrink(kernels, x, down, 1.0),
            lambda: x @ down.to(dtype).T,
            lambda: plain.lora_shrink(x, down, 1.0),
        ),
        Entry(
            f"lora_expand_, rank {rank}",
            lambda: native.lora_expand_(kernels, out, narrow, up.T, 2.0),
            lambda: out.addmm_(narrow, up.to(dtype).T, alpha=2.0),
            lambda: plain.lora_expand_(out, narrow, up.T, 2.0),
        ),
        Entry(
            f"lora_backward, rank {rank}",
            lambda: native.lora_backward(kernels, grad, narrow, up.T, 2.0, by_narrow),
            theirs_backward,
            lambda: plain.lora_backward(grad, narrow, up.T, 2.0, by_narrow),
        ),
    ]


def head_entries(dtype: torch.dtype) -> list[Entry]:
    logits, target = normal(TARGETS, VOCABULARY, dtype=dtype), torch.randint(VOCABULARY, (TARGETS,))
    leaf = logits.clone().requires_grad_()

    def forward_and_backward() -> tuple[Tensor, ...]:
        return torch.autograd.grad(functional.cross_entropy(leaf.float(), target, reduction="sum"), leaf)

    return [
        Entry(
            "log_prob",
            lambda: ops.log_prob(logits, target),
            lambda: functional.cross_entropy(logits.float(), target, reduction="none"),
        ),
        Entry("log_prob_and_gradient_", lambda: ops.log_prob_and_gradient_(logits, target), forward_and_backward),
    ]


def entries(dtype: torch.dtype) -> list[Entry]:
    return [
        *norm_entries(dtype),
        *feed_forward_entries(dtype),
        *rope_entries(dtype),
        *(entry for length in LENGTHS for entry in attention_entries(dtype, length)),
        *(entry for rank in RANKS for entry in lora_entries(dtype, rank)),
        *head_entries(dtype),
    ]


def line(entry: Entry, dtype: torch.dtype, seconds: float) -> str:
    """A row of the table."""
    library.allow(True)
    kernel = median_milliseconds(entry.ours, seconds)
    library.allow(False)
    twin = median_milliseconds(entry.twin or entry.ours, seconds)
    theirs = median_milliseconds(entry.theirs, seconds)
    name = str(dtype).removeprefix("torch.")
    times = f"{kernel:.3f} | {twin:.3f} | {theirs:.3f} | {twin / kernel:.1f} | {theirs / kernel:.1f}"
    return f"| `{entry.name}` | {name} | {times} |\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.2, help="for each figure")
    parser.add_argument("--onednn", action="store_true", help="float32 products through oneDNN, if exact there")
    arguments = parser.parse_args()
    use_onednn(arguments.onednn)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    if library.loaded() is None:
        sys.stderr.write("no kernels on this machine: nothing to compare\n")
        return 1
    sys.stdout.write("| op | type | kernel, ms | twin, ms | torch, ms | twin / kernel | torch / kernel |\n")
    sys.stdout.write("| --- | --- | --- | --- | --- | --- | --- |\n")
    for dtype in (torch.bfloat16, torch.float32):
        for entry in entries(dtype):
            sys.stdout.write(line(entry, dtype, arguments.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
