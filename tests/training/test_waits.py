"""A micro-batch asks the device nothing that the processor would have to wait for.

On a GPU each such question costs the time in which the next work could have been queued.  They are the same operators on
any device, so a processor can count them.
"""

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from autotrain.models.forward import Policy
from autotrain.models.precision import FP32
from autotrain.objectives import build
from autotrain.params import LLMTrainingParams
from autotrain.training import step
from autotrain.training.step import Examples, accumulate
from autotrain.types import Batch, Example, LogProbs, Origin, Segment

# Operators whose results the processor reads, and those whose shape depends on values.
ASKING = ("_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "_unique2", "unique_dim", "equal")


class Questions(TorchDispatchMode):
    """Counts what is asked of the device."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in ASKING:
            self.asked[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def policy() -> Policy:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    return Policy(LlamaForCausalLM(config), FP32).train()


def store_of(trainer: str):
    """Six examples: texts, or pairs."""
    import numpy as np

    from autotrain.data.store import ExampleStore

    def segment(length: int, parent: int | None = None, sequence: int = 0, trained: bool = True) -> Segment:
        return Segment(np.arange(1, length + 1, dtype=np.int32), np.full(length, trained), parent, sequence)

    store = ExampleStore()
    for number in range(6):
        answers = (segment(4 + number, 0, 0), segment(3, 0, 1))
        pair = Example((segment(5, trained=False), *answers), num_sequences=2)
        store.append(Example((segment(9 + number),)) if trainer == "sft" else pair, Origin("rows", number + 1))
    return store


def objective_of(trainer: str, **settings: object):
    return build(trainer, LLMTrainingParams(trainer=trainer, **settings).model_dump())


OBJECTIVES: dict[str, Callable[[], object]] = {
    "sft": lambda: objective_of("sft"),
    "dpo": lambda: objective_of("dpo"),
    "orpo": lambda: objective_of("orpo"),
    "simpo": lambda: objective_of("simpo"),
}


@pytest.mark.parametrize("trainer", OBJECTIVES)
def test_forward_loss_and_backward_of_micro_batches_ask_nothing(
    trainer: str, policy: Policy, monkeypatch: pytest.MonkeyPatch
):
    """Three micro-batches; what is read at the end of the step isn't counted here."""
    monkeypatch.setattr(step, "_read", lambda values: [0.0] * len(values))

    def reference(batch: Batch, indices: object) -> LogProbs:
        with torch.no_grad():
            return policy(batch)

    examples = Examples(store_of(trainer), reference if trainer == "dpo" else None)
    with Questions() as questions:
        result = accumulate(policy, OBJECTIVES[trainer](), examples, range(6), token_budget=32)
    assert result.counts.examples == 6
    assert not questions.asked


def test_the_count_finds_a_question(policy: Policy):
    with Questions() as questions:
        float(torch.ones(3).sum())
    assert questions.asked == {"_local_scalar_dense": 1}
