"""The largest micro-batch of a run is found, its memory foreseen, and it is tried without a trace."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from autotrain import objectives
from autotrain.data.store import ExampleStore
from autotrain.models.adapters import add_adapter
from autotrain.models.forward import Policy
from autotrain.models.memory import MemoryEstimate
from autotrain.models.precision import FP32
from autotrain.params import LLMTrainingParams
from autotrain.training import step
from autotrain.training.forecast import Forecast, LargestBatch, find_largest, forecast, largest_of, try_largest
from autotrain.training.step import Examples
from autotrain.types import Example, Origin, Segment

ESTIMATE = MemoryEstimate(
    weights=1000,
    gradients=100,
    optimizer=200,
    num_layers=4,
    layer=10,
    layer_input=1,
    layer_work=5,
    ends=2,
    head=50,
    prediction=3,
    logit_row=20,
    chunk_rows=8,
)


def find(*lengths: int, budget: int, rows: int = 8) -> LargestBatch:
    return find_largest(np.array(lengths), np.array(lengths) // 2, budget, rows)


def test_the_longest_row_takes_along_what_there_is_room_for():
    found = find(10, 90, 60, 20, 50, budget=160)
    assert found.indices == (1, 2, 0) and found.num_tokens == 160 and found.num_predictions == 80


def test_a_row_above_the_budget_is_alone():
    assert find(10, 90, 60, budget=50).indices == (1,)


def test_a_micro_batch_has_no_more_rows_than_a_step():
    found = find(10, 90, 60, 20, 50, budget=1000, rows=2)
    assert found.indices == (1, 2) and found.is_whole_step
    assert not find(10, 90, 60, budget=100, rows=2).is_whole_step


def test_of_a_few_steps_the_largest_micro_batch_is_known():
    """90 + 20 are above 100, 60 + 20 + 10 aren't; 95 of them together are more than 90 alone."""
    lengths = np.array([90, 20, 60, 25, 10])
    found = largest_of([[0, 1], [2, 3, 4]], lengths, lengths // 2, 100)
    # Each of the three is one block: 64 queries of 64 keys.
    assert found == LargestBatch((2, 3, 4), 95, 47, False)
    assert largest_of([[0, 4], [2, 3]], lengths, lengths // 2, 100).is_whole_step


def test_activations_are_counted_by_hand():
    """10 tokens: 4 layers of 10 and 2 for the ends, 420.  At the head 50 + 9 x 3 + 8 x 20 = 237 more."""
    assert ESTIMATE.activations(10, 9) == 420 + 237


def test_where_the_head_is_small_the_last_layer_going_back_counts():
    assert ESTIMATE.activations(100, 1) == 4200 + 500  # 50 + 3 + 20 < 5 x 100


def test_layers_computed_again_keep_their_input_only():
    """10 tokens: two layers of 10, two inputs of 1 and 2 for the ends, 240; at the head 50 + 3 + 20."""
    assert ESTIMATE.activations(10, 1, num_checkpointed=2) == 240 + 73
    assert ESTIMATE.activations(100, 1, num_checkpointed=4) == 100 * (4 + 10 + 5 + 2)  # in the layer computed again


def foreseen(
    *, is_whole_step: bool = False, peak_so_far: int = 0, num_steps: int = 1, estimate: MemoryEstimate = ESTIMATE
) -> int:
    largest = LargestBatch((0,), 10, 9, is_whole_step)
    return forecast(
        estimate,
        largest,
        device_type="cuda",
        fast_layers=False,
        num_checkpointed=0,
        num_steps=num_steps,
        loaded_bytes=5000,
        peak_so_far_bytes=peak_so_far,
    ).peak_bytes


def test_the_peak_is_what_is_loaded_and_what_training_adds():
    assert foreseen() == 5000 + 200 + 100 + 657
    assert foreseen(is_whole_step=True) == 5000 + 200 + 30 + 657


def test_libraries_keep_code_for_the_shapes_of_each_step_up_to_a_number():
    keeping = replace(ESTIMATE, shape_code=7)
    assert [foreseen(num_steps=steps, estimate=keeping) - foreseen() for steps in (1, 7, 8, 1000)] == [7, 49, 56, 56]


def test_loading_may_have_taken_more():
    assert foreseen(peak_so_far=9000) == 9000


def test_on_a_processor_with_ample_memory_nothing_is_tried():
    made = Forecast(1000, LargestBatch((0,), 10, 9, True))
    assert made.is_in_doubt("cuda", 10**9) and not made.is_in_doubt("cpu", 10**9) and made.is_in_doubt("cpu", 3999)


@pytest.fixture
def policy() -> Policy:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=100, num_hidden_layers=2, **sizes))
    return Policy(add_adapter(model, LLMTrainingParams(peft=True, lora_dropout=0.1)), FP32)


@pytest.mark.parametrize("runs_out", [False, True])
def test_trying_leaves_no_trace_and_finds_a_budget_that_fits(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, runs_out: bool
):
    objective = objectives.build("sft", LLMTrainingParams(trainer="sft").model_dump())
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    random, accumulate = torch.get_rng_state(), step.accumulate

    def limited(*arguments):
        if runs_out and arguments[4] > 100:
            raise torch.OutOfMemoryError
        return accumulate(*arguments)

    monkeypatch.setattr(step, "accumulate", limited)
    with ExampleStore() as store:
        for length in (30, 40):
            store.append(Example((Segment(np.arange(length, dtype=np.int32), np.ones(length, bool)),)), Origin("x", 1))
        largest = find_largest(store.num_tokens, store.num_trained, 320, 2)
        assert try_largest(policy, objective, Examples(store), largest, 320) == (80 if runs_out else 320)
    assert all(parameter.grad is None for parameter in policy.parameters())
    assert all(before[name].equal(tensor) for name, tensor in policy.state_dict().items())
    assert torch.get_rng_state().equal(random)
