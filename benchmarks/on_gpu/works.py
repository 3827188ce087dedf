"""What is measured: shapes of models, works, sides, and the arithmetic that a step needs at least."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.on_gpu.rows import Row


@dataclass(frozen=True)
class Shape:
    """A Llama's sizes."""

    name: str
    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    tied: bool

    @property
    def layer_weights(self) -> int:
        """Weights of all decoder layers' matrices."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.key_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def head_weights(self) -> int:
        return self.vocabulary * self.hidden


# Shapes as published in the configurations of Llama-3.2-1B and Llama-3.1-8B; weights are random.
SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "1B": Shape("1B", 128_256, 2048, 8192, 16, 32, 8, 64, True),
        "8B": Shape("8B", 128_256, 4096, 14_336, 32, 32, 8, 128, False),
        "mid": Shape("mid", 8192, 1024, 2816, 4, 16, 4, 64, True),
        "tiny": Shape("tiny", 512, 64, 160, 2, 4, 2, 16, True),
    }
)


@dataclass(frozen=True)
class Work:
    """shape: a name of SHAPES.  trainer: sft or dpo.  tuning: lora, int4 (LoRA on 4-bit weights) or full.

    num_rows: rows or pairs of a step.
    """

    shape: str
    trainer: str
    tuning: str
    num_rows: int

    @property
    def name(self) -> str:
        return f"{self.shape} {self.trainer} {self.tuning}"


# In the order of importance: when time is up, the rest is skipped.
WORKS: Sequence[Work] = (
    Work("1B", "sft", "lora", 16),
    Work("1B", "dpo", "lora", 8),
    Work("8B", "sft", "lora", 8),
    Work("8B", "dpo", "lora", 4),
    Work("8B", "sft", "int4", 8),
    Work("1B", "sft", "full", 16),
    Work("1B", "sft", "int4", 16),
    Work("8B", "dpo", "int4", 4),
)
TINY_WORKS: Sequence[Work] = tuple(
    Work("tiny", trainer, tuning, 4)
    for trainer, tuning in (("sft", "lora"), ("dpo", "lora"), ("sft", "int4"), ("sft", "full"))
)


@dataclass(frozen=True)
class Side:
    """Who trains.  is_ours; fast: our fast paths on; compiled: layers through torch.compile.  packing, liger: TRL's."""

    name: str
    is_ours: bool
    fast: bool = True
    compiled: bool = False
    packing: bool = False
    liger: bool = False


OURS, PLAIN = Side("autotrain", True), Side("autotrain, fast_paths: none", True, fast=False)
COMPILED = Side("autotrain, compiled layers", True, compiled=True)
TRL = Side("TRL", False)
PACKING = Side("TRL, packing", False, packing=True)
LIGER = Side("TRL, Liger", False, liger=True)
PACKING_LIGER = Side("TRL, packing, Liger", False, packing=True, liger=True)


def sides_of(work: Work) -> Sequence[Side]:
    """Both sides in turn."""
    return (OURS, TRL, PACKING, LIGER, PACKING_LIGER) if work.trainer == "sft" else (OURS, TRL, LIGER)


def extra_sides(device_type: str) -> Sequence[Side]:
    """Measured once, on the first work: what our own switches gain.  Compiling takes a minute, on a processor more."""
    return (PLAIN, COMPILED) if device_type == "cuda" else (PLAIN,)


# FLOP/s of dense bf16 (before Ampere fp16) with float32 sums, as the makers state it.  The first name that fits counts.
PEAKS: Sequence[tuple[str, float]] = (
    ("B200", 2250e12),
    ("GH200", 989e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("A10G", 70e12),
    ("A10", 125e12),
    ("A40", 150e12),
    ("A6000", 155e12),
    ("RTX 5090", 209e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
    ("V100", 125e12),
    ("T4", 65e12),
)


def peak_of(card: str) -> float | None:
    """FLOP/s of a card by its name, None for an unknown one."""
    return next((peak for name, peak in PEAKS if name in card), None)


def useful_flops(work: Work, rows: Sequence[Row]) -> float:
    """The least that training on `rows` takes: no padding, prompts once, a head where there is a target, no recomputing.

    The same numerator for all sides, so ratios of MFU are ratios of time.
    """
    shape = SHAPES[work.shape]
    tokens, targets, seen = (sum(values) for values in zip(*(row.sizes for row in rows), strict=True))
    products = 2 * (shape.layer_weights * tokens + shape.head_weights * targets)
    attention = 4 * seen * shape.heads * shape.head_size * shape.layers
    # Going back costs as much for the inputs' gradients, and as much again for the weights' where they are trained.
    passes = 3 if work.tuning == "full" else 2
    reference = 1 if work.trainer == "dpo" else 0
    return (passes + reference) * products + (3 + reference) * attention
