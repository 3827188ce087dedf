"""A step may be cut in any way, and done again when memory runs out, without changing its numbers."""

import json

import pytest
import torch

from autotrain.base_models import ModelSource
from autotrain.data.batches import Batches
from autotrain.data.lengths import Lengths
from autotrain.data.report import RowsReport
from autotrain.data.samples import open_split
from autotrain.data.tokenize import load_examples
from autotrain.data.tokenizer import load_tokenizer
from autotrain.errors import TrainingError
from autotrain.models.load import choose_precision, load_model
from autotrain.objectives import build
from autotrain.params import LLMTrainingParams
from autotrain.training.estimate import estimate_seconds
from autotrain.training.step import Examples, accumulate, accumulate_within_memory, evaluate

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tiny_model, tmp_path_factory):
    """(policy, store of 12 conversations)."""
    folder = tmp_path_factory.mktemp("data")
    rows = [
        [{"role": "user", "content": f"Say red {n} times."}, {"role": "assistant", "content": "red " * n}]
        for n in range(1, 13)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    params = LLMTrainingParams(model=str(tiny_model), trainer="sft", data_path=str(folder))
    source = ModelSource(str(tiny_model))
    loaded = load_tokenizer(params, source, needs_chat=True)
    store = load_examples(params, open_split(params, "train"), loaded, Lengths(256, (256,), 256), RowsReport())
    policy = load_model(
        params,
        source,
        vocabulary_size=len(loaded.tokenizer),
        new_token_ids=(),
        device=CPU,
        precision=choose_precision(params, CPU),
        quantization=None,
        seed=0,
    )
    return policy, store


def gradients(policy):
    return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])


def loss_and_gradients(world, budget, step=accumulate):
    policy, store = world
    policy.zero_grad(set_to_none=True)
    result = step(policy, build("sft", {}), Examples(store), range(len(store)), budget)
    return result, gradients(policy).clone()


@pytest.mark.parametrize("budget", [1, 40, 90, 300])
def test_cutting_a_step_into_other_micro_batches_changes_nothing(world, budget):
    whole, whole_gradients = loss_and_gradients(world, 10_000)
    cut, cut_gradients = loss_and_gradients(world, budget)
    assert cut.loss == pytest.approx(whole.loss, rel=1e-6)
    assert torch.allclose(cut_gradients, whole_gradients, rtol=1e-4, atol=1e-7)
    assert cut.counts == whole.counts


def test_the_loss_is_the_mean_over_the_trained_tokens_of_the_whole_step(world):
    """Not a mean of means: short and long answers count by their tokens."""
    policy, store = world
    total, tokens = 0.0, 0
    for index in range(len(store)):
        single = accumulate(policy, build("sft", {}), Examples(store), [index], 10_000)
        total, tokens = total + single.loss * single.counts.tokens, tokens + single.counts.tokens
    whole, _ = loss_and_gradients(world, 10_000)
    assert whole.loss == pytest.approx(total / tokens, rel=1e-6)
    assert whole.counts.tokens == tokens


def test_a_validation_pass_gives_the_loss_of_a_step_over_the_same_rows(world):
    policy, store = world
    whole, _ = loss_and_gradients(world, 10_000)
    sums = evaluate(policy, build("sft", {}), Examples(store), 64, lambda: False)
    assert sums["loss"] == pytest.approx(whole.loss, rel=1e-6)


GPU_IS_FULL = torch.OutOfMemoryError("CUDA out of memory")
MACHINE_IS_FULL = RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried")


def test_estimating_the_time_leaves_random_state_and_modes_as_they_were(world):
    policy, store = world
    batches = Batches(store, units=[[index] for index in range(len(store))], units_per_step=4, epochs=2, seed=1)
    state, was_training = torch.get_rng_state(), policy.training
    whole = estimate_seconds(policy, store, batches, 0)
    assert whole > 0
    assert estimate_seconds(policy, store, batches, batches.total_steps) == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert policy.training == was_training


def test_estimating_the_time_takes_one_pass(world):
    policy, store = world
    batches = Batches(store, units=[[index] for index in range(len(store))], units_per_step=4, epochs=1, seed=1)
    passes: list[int] = []
    hook = policy.register_forward_hook(lambda *_: passes.append(1))
    estimate_seconds(policy, store, batches, 0)
    hook.remove()
    assert len(passes) == 1


class Forgetful(torch.nn.Module):
    """Runs out of memory on micro-batches of more than `limit` tokens."""

    def __init__(self, policy, limit, error=GPU_IS_FULL):
        super().__init__()
        self.policy, self.limit, self.error = policy, limit, error

    def forward(self, batch):
        if batch.num_tokens > self.limit:
            raise self.error
        return self.policy(batch)


@pytest.mark.parametrize("error", [GPU_IS_FULL, MACHINE_IS_FULL])
def test_issues_446_177_352_running_out_of_memory_halves_the_budget_and_gives_the_same_step(world, error):
    policy, store = world
    whole, whole_gradients = loss_and_gradients(world, 10_000)
    policy.zero_grad(set_to_none=True)
    result = accumulate_within_memory(
        Forgetful(policy, 100, error), build("sft", {}), Examples(store), range(len(store)), 800
    )
    assert result.token_budget == 100
    assert result.loss == pytest.approx(whole.loss, rel=1e-6)
    assert torch.allclose(gradients(policy), whole_gradients, rtol=1e-4, atol=1e-7)


def test_what_never_fits_is_a_failed_run_with_advice(world):
    policy, store = world
    with pytest.raises(TrainingError, match="lower block_size"):
        accumulate_within_memory(Forgetful(policy, 3), build("sft", {}), Examples(store), [0], 800)


def test_other_failures_are_no_lack_of_memory(world):
    policy, store = world
    with pytest.raises(RuntimeError, match="shapes"):
        accumulate_within_memory(
            Forgetful(policy, 3, RuntimeError("shapes don't fit")), build("sft", {}), Examples(store), [0], 800
        )
