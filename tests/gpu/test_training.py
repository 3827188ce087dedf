"""Training on a GPU: the fast paths' numbers, fp16, int4, memory, and nothing that waits."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autotrain.base_models import ModelSource
from autotrain.data.batches import collate
from autotrain.data.store import ExampleStore
from autotrain.models.body import find_body
from autotrain.models.fast.compiled import compile_layers
from autotrain.models.fast.switch import ALL, NONE
from autotrain.models.forward import Policy
from autotrain.models.load import load_model
from autotrain.models.precision import BF16, FP16, FP32, Precision
from autotrain.models.reference import LiveReference
from autotrain.objectives import build
from autotrain.params import LLMTrainingParams
from autotrain.training.step import Examples, accumulate, accumulate_within_memory
from autotrain.types import Example, Origin, Segment

pytestmark = pytest.mark.gpu

VOCABULARY = 211


def pairs(num_pairs: int, longest: int = 200) -> list[Example]:
    draw = np.random.default_rng(0)

    def segment(parent: int | None, sequence: int, *, trained: bool) -> Segment:
        length = int(draw.integers(2, longest))
        ids = draw.integers(0, VOCABULARY, length).astype(np.int32)
        return Segment(ids, np.full(length, trained), parent, sequence)

    shapes = [(None, 0, False), (0, 0, True), (0, 1, True)]
    return [
        Example(tuple(segment(parent, place, trained=trained) for parent, place, trained in shapes), num_sequences=2)
        for _ in range(num_pairs)
    ]


def stored(examples: Sequence[Example]) -> ExampleStore:
    store = ExampleStore()
    for number, example in enumerate(examples):
        store.append(example, Origin("random", number + 1))
    return store


def objective(trainer: str) -> Any:
    return build(trainer, LLMTrainingParams(trainer=trainer).model_dump())


def gradients(policy: Policy) -> Tensor:
    return torch.cat([p.grad.float().flatten() for p in policy.parameters() if p.grad is not None])


def dpo_step(policy: Policy, store: ExampleStore, budget: int = 1500) -> tuple[float, Tensor]:
    """The reference is the policy itself, computed without gradient."""
    policy.zero_grad(set_to_none=True)
    examples = Examples(store, LiveReference(policy, "itself", True).of)
    result = accumulate(policy, objective("dpo"), examples, range(len(store)), budget)
    return result.loss, gradients(policy)


@pytest.mark.parametrize(("precision", "tolerance"), [(FP32, 1e-3), (BF16, 6e-2), (FP16, 2e-2)], ids=lambda x: str(x)[:20])
def test_fast_paths_give_the_plain_paths_loss_and_gradients(llama, precision: Precision, tolerance: float):
    """Against the plain paths in float32: as near as rounding allows."""
    store = stored(pairs(8))
    right_loss, right = dpo_step(Policy(llama(), FP32, fast=NONE), store)
    loss, found = dpo_step(Policy(llama(), precision, fast=ALL), store)
    assert loss == pytest.approx(right_loss, rel=1e-2 if precision.autocast else 1e-5)
    assert float((found - right).norm() / right.norm()) < tolerance


@pytest.mark.parametrize("precision", [FP32, BF16], ids=lambda precision: precision.name)
def test_the_same_step_twice_gives_the_same_bits(llama, precision: Precision):
    policy, store = Policy(llama(), precision, fast=ALL), stored(pairs(8))
    loss, first = dpo_step(policy, store)
    for _ in range(3):
        again_loss, again = dpo_step(policy, store)
        assert again_loss == loss and again.equal(first)


def test_micro_batches_wait_for_nothing(llama):
    """torch raises where the processor would wait for the GPU."""
    policy, store = Policy(llama(), BF16, fast=ALL).train(), stored(pairs(8))
    dpo_step(policy, store)  # self-tests of kernels wait, once
    batch, counts = collate([store[index] for index in range(4)]), store.counts(range(4))
    loss = objective("dpo").loss
    torch.cuda.set_sync_debug_mode("error")
    with torch.no_grad():
        reference = policy(batch)
    share = loss(policy(batch), reference, counts)
    share.value.backward()
    torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(share.value)


def test_fp16_losses_are_scaled_and_steps_with_infinite_gradients_left_out(llama):
    policy, store = Policy(llama(), FP16, fast=ALL).train(), stored(pairs(4))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3, fused=True)
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40)  # far too large: the first steps overflow
    before, losses = policy.trainable_state(), []
    for _ in range(40):
        optimizer.zero_grad(set_to_none=True)
        examples = Examples(store)
        result = accumulate(policy, objective("orpo"), examples, range(len(store)), 1500, scaler.scale)
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        if not losses:
            assert all(before[name].equal(value) for name, value in policy.trainable_state().items())
        losses.append(result.loss)
    assert scaler.get_scale() < 2.0**40
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
@pytest.mark.parametrize("quantization", ["int4", "int8"])
def test_an_adapter_on_a_quantized_base_learns(llama, device: torch.device, tmp_path: Path, quantization: Any):
    llama(tie_word_embeddings=False).save_pretrained(tmp_path)
    policy = load_model(
        LLMTrainingParams(peft=True, lora_dropout=0.0, lora_r=8),
        ModelSource(str(tmp_path)),
        vocabulary_size=VOCABULARY,
        new_token_ids=(),
        device=device,
        precision=BF16,
        quantization=quantization,
        seed=1,
    ).train()
    assert policy.verdict.layout == "flat"
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-2, fused=True)
    store, losses = stored(pairs(4)), []
    for _ in range(12):
        optimizer.zero_grad(set_to_none=True)
        losses.append(accumulate(policy, objective("orpo"), Examples(store), range(len(store)), 1500).loss)
        optimizer.step()
    assert losses[-1] < losses[0] - 0.1


def test_running_out_of_memory_halves_the_budget_and_gives_the_same_step(llama, device: torch.device):
    """The limit is set below what the whole step at once was seen to take."""
    policy, store = Policy(llama(), BF16, fast=ALL).train(), stored(pairs(48, longest=400))
    everything = int(store.num_tokens.sum())
    policy.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    whole = accumulate(policy, objective("orpo"), Examples(store), range(len(store)), everything)
    whole_gradients = gradients(policy)
    policy.zero_grad(set_to_none=True)
    needed = torch.cuda.max_memory_allocated(device) - before
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + 0.6 * needed) / total, device)
    cut = accumulate_within_memory(policy, objective("orpo"), Examples(store), range(len(store)), everything)
    assert cut.token_budget < everything
    assert cut.loss == pytest.approx(whole.loss, rel=3e-3)
    assert float((gradients(policy) - whole_gradients).norm() / whole_gradients.norm()) < 3e-2


@pytest.mark.parametrize("precision", [FP32, BF16], ids=lambda precision: precision.name)
def test_compiled_layers_are_the_same_layers(llama, precision: Precision):
    torch._dynamo.reset()
    policy, store = Policy(llama(), precision, fast=ALL).train(), stored(pairs(6))
    loss, expected = dpo_step(policy, store)
    body = find_body(policy.pretrained)
    assert body is not None and compile_layers(body) == 2
    compiled_loss, found = dpo_step(policy, store)
    assert compiled_loss == pytest.approx(loss, rel=1e-4 if precision is FP32 else 1e-2)
    assert float((found - expected).norm() / expected.norm()) < (1e-3 if precision is FP32 else 6e-2)
