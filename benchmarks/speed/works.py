"""What is measured: each work's data, parameters and the sides that are compared on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from math import inf
from types import MappingProxyType
from typing import Any

from autotrain.backends.environment import speed_settings
from autotrain.params import LLMTrainingParams

OURS = "ours"
TRL_PROGRAM, LLAMA_FACTORY_PROGRAM = "trl", "llama-factory"
LEARNING_RATE = 1e-4
BLOCK_SIZE = 1024
PAIRS = ("dpo", "orpo", "reward")
FP32_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Side:
    """Who trains, and how.

    ours: parameters that differ from the work's, for a side that is ours; None for the others, whose is the program.
    most_rounds: it runs in no more rounds than these, to save time.
    environment: variables that are set.  onednn: float32 products through oneDNN.
    packing: the program's own packing, blocks as a row.
    """

    name: str
    ours: Mapping[str, Any] | None = None
    program: str = TRL_PROGRAM
    environment: Mapping[str, str] = field(default_factory=dict)
    onednn: bool = False
    packing: bool = False
    most_rounds: int | None = None
    description: str = ""


def copied_settings() -> dict[str, str]:
    """The variables that our launcher sets for the worker, which anyone could set for TRL too."""
    return speed_settings(LLMTrainingParams(), {})


_COPIED: dict[str, Any] = {"environment": copied_settings(), "onednn": True, "most_rounds": 2}
TRL = Side("trl", description="TRL as it comes, rows padded")
ONEDNN = Side("trl-onednn", onednn=True, description="TRL, float32 products through oneDNN")
TUNED = Side("trl-tuned", **_COPIED, description="TRL with oneDNN, allocator and OpenMP set as ours are")
PACKED = Side("trl-packed", packing=True, description="TRL with packing (bfd)")
PACKED_TUNED = Side("trl-packed-tuned", packing=True, **_COPIED, description="TRL with packing, and set as ours is")
LLAMA_FACTORY = Side("llama-factory", program=LLAMA_FACTORY_PROGRAM, description="LLaMA-Factory as it comes, rows padded")
LLAMA_FACTORY_PACKED = Side(
    "llama-factory-packed", program=LLAMA_FACTORY_PROGRAM, packing=True, description="LLaMA-Factory with neat_packing"
)
AGAIN = Side("ours-again", ours={}, description="ours once more, on rows that it has tokenized before")
OUR_BF16 = Side("ours-bf16", ours={"quantization": None}, description="ours, the base in bf16")


@dataclass(frozen=True)
class Work:
    """One line of work.

    data: chat, preference, multiturn or text.  params: beside those that all works share.
    rows_per_unit: `default` joins texts and cuts them into blocks; so many rows fill one.
    warmup_steps, timed_steps: optimizer steps left out at the beginning, and measured.
    needs: a module without which it is skipped.  starts: measures the way to the first step instead of the steps.
    """

    name: str
    data: str
    trainer: str
    peers: Sequence[Side]
    params: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "bf16"
    batch_size: int = 4
    rows_per_unit: int = 1
    warmup_steps: int = 1
    timed_steps: int = 3
    tolerance: float = 3e-3
    needs: str = ""
    starts: bool = False

    @property
    def num_rows(self) -> int:
        return self.batch_size * self.rows_per_unit * (self.warmup_steps + self.timed_steps)

    @property
    def is_packed(self) -> bool:
        """Against packing batches differ: the summed loss is compared, at learning rate 0."""
        return any(peer.packing for peer in self.peers)

    @property
    def proof(self) -> "Work | None":
        """The same in float32, with few rows, for what is computed in bf16 on the same batches.

        bf16 rounds on either side, and the more so where a loss is made of differences between sums of log-probabilities:
        that both do the same only float32 shows.
        """
        if self.precision != "bf16" or self.is_packed or self.starts:
            return None
        small = {"batch_size": 1, "warmup_steps": 1, "timed_steps": 1}
        return replace(self, name=f"{self.name}-in-float32", precision="fp32", tolerance=FP32_TOLERANCE, **small)

    @property
    def missing(self) -> str:
        """Why it can't be measured here, or ""."""
        return f"{self.needs} isn't installed" if self.needs and find_spec(self.needs) is None else ""

    def all_params(self) -> dict[str, Any]:
        """The `params` of our config."""
        lora = {"peft": True, "lora_r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}
        return {
            **lora,
            "quantization": None,
            "mixed_precision": "bf16" if self.precision == "bf16" else None,
            "lr": 0.0 if self.is_packed else LEARNING_RATE,
            "scheduler": "constant",
            "warmup_ratio": 0.0,
            "weight_decay": 0.0,
            "epochs": 1,
            "batch_size": self.batch_size,
            "gradient_accumulation": 1,
            "block_size": BLOCK_SIZE,
            "logging_steps": 1,
            "save_strategy": "no",
            **self.params,
        }


FULL = {"peft": False, "lr": 1e-5}
_WHOLE_PROMPTS = {"max_prompt_length": BLOCK_SIZE}
_FP32: dict[str, Any] = {"precision": "fp32", "tolerance": FP32_TOLERANCE}
DPO = {**_WHOLE_PROMPTS, "dpo_beta": 0.1}
ORPO = {**_WHOLE_PROMPTS, "orpo_beta": 0.1, "orpo_nll_on_prompt": True}

# Steps are few because TRL takes seconds for each: all of it should end within three quarters of an hour.
_WORKS = (
    Work("sft-lora-bf16", "chat", "sft", (TRL, TUNED, LLAMA_FACTORY)),
    Work("sft-lora-bf16-packed", "chat", "sft", (PACKED, PACKED_TUNED, LLAMA_FACTORY_PACKED)),
    Work("sft-lora-fp32", "chat", "sft", (TRL, ONEDNN, TUNED), **_FP32),
    Work("sft-full-fp32", "chat", "sft", (TRL,), FULL, **_FP32),
    Work("dpo-lora-bf16-multiturn", "multiturn", "dpo", (TRL, TUNED), DPO, timed_steps=2),
    Work("dpo-lora-bf16", "preference", "dpo", (TRL,), DPO, timed_steps=2),
    Work("orpo-lora-bf16", "preference", "orpo", (TRL,), ORPO, timed_steps=1),
    Work("reward-lora-bf16", "preference", "reward", (TRL,)),
    Work("default-lora-bf16", "text", "default", (PACKED,), batch_size=1, rows_per_unit=3),
    Work("sft-lora-int4", "chat", "sft", (OUR_BF16,), {"quantization": "int4"}, tolerance=inf, needs="bitsandbytes"),
    Work("start", "chat", "sft", (TRL, AGAIN), batch_size=4, warmup_steps=0, timed_steps=1, starts=True),
)
WORKS: Mapping[str, Work] = MappingProxyType({work.name: work for work in _WORKS})
QUICK = ("sft-lora-bf16", "dpo-lora-bf16-multiturn")
ABLATED = ("sft-lora-bf16", "sft-lora-fp32", "dpo-lora-bf16-multiturn")


# What each fast path adds to those before it; attention and lora are parts of layer, and kernels serve all three.
LADDER = ("environment", "onednn", "attention", "lora", "layer", "kernels")


def ablations(work: Work) -> list[Side]:
    """Our side with no fast path, then with one more each time; all of them are `ours`.  oneDNN is of float32 only."""
    names = [name for name in LADDER if name != "onednn" or work.precision == "fp32"]
    steps = [names[: number + 1] for number in range(len(names) - 1)]
    return [Side("none", ours={"fast_paths": "none"})] + [
        Side(f"up-to-{names[-1]}", ours={"fast_paths": ",".join(names)}) for names in steps
    ]
