"""The most memory that a run will take, and its largest micro-batch, tried before the first step."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autotrain.data.batches import cut
from autotrain.models.memory import MemoryEstimate
from autotrain.models.network import Network
from autotrain.objectives.base import Objective
from autotrain.training.checkpoint import random_states, restore_random_states
from autotrain.training.step import Examples, accumulate_within_memory

# Measured on processors with glibc: what lies between tensors of changing sizes, as a factor on what a batch takes; what
# libraries keep from the first step on; and how many numbers of tokens they keep code for, in the worker's environment.
_HOLES, _HOLES_WITH_FAST_LAYERS = 1.2, 1.25
_FIRST_STEP_BYTES = {"cpu": 100 * 2**20}
_MOST_SHAPES = 8
# Gradients are made while activations go, so where a step is one micro-batch, the two are hardly there at the same time.
_GRADIENTS_AT_PEAK = 0.3
# On a processor a micro-batch takes seconds; where memory is this much larger than what is needed, they aren't spent.
_AMPLE = 4


@dataclass(frozen=True)
class LargestBatch:
    """The micro-batch of the run with the most tokens.  indices: of its examples.  is_whole_step: no step is cut."""

    indices: tuple[int, ...]
    num_tokens: int
    num_predictions: int
    is_whole_step: bool


@dataclass(frozen=True)
class Forecast:
    """peak_bytes: of all that is in memory.  largest: the micro-batch that takes it."""

    peak_bytes: int
    largest: LargestBatch

    def is_in_doubt(self, device_type: str, total_bytes: int) -> bool:
        """Whether it should be tried."""
        return device_type != "cpu" or self.peak_bytes * _AMPLE > total_bytes


def largest_of(
    steps: Sequence[Sequence[int]], num_tokens: np.ndarray, num_trained: np.ndarray, token_budget: int
) -> LargestBatch:
    """Of steps that are all known: steps holds the indices of their examples."""
    cuts = [cut(step, num_tokens, token_budget) for step in steps]
    indices = max((part for parts in cuts for part in parts), key=lambda part: int(num_tokens[part].sum()))
    return _of(indices, num_tokens, num_trained, all(len(parts) == 1 for parts in cuts))


def find_largest(num_tokens: np.ndarray, num_trained: np.ndarray, token_budget: int, rows_per_step: int) -> LargestBatch:
    """Of too many steps to look at: the longest example, and the longest others that budget and step have room for.

    num_tokens, num_trained: (examples,).
    """
    order = np.argsort(-num_tokens, kind="stable")
    falling = num_tokens[order]
    places, room = [0], token_budget - int(falling[0])
    while len(places) < min(rows_per_step, len(order)):
        place = max(places[-1] + 1, int(np.searchsorted(-falling, -room)))
        if place >= len(order):
            break
        places.append(place)
        room -= int(falling[place])
    is_whole_step = int(falling[:rows_per_step].sum()) <= token_budget
    return _of(order[places].tolist(), num_tokens, num_trained, is_whole_step)


def _of(indices: Sequence[int], num_tokens: np.ndarray, num_trained: np.ndarray, is_whole_step: bool) -> LargestBatch:
    total = int(num_tokens[indices].sum())
    return LargestBatch(tuple(indices), total, int(num_trained[indices].sum()), is_whole_step)


def forecast(
    estimate: MemoryEstimate,
    largest: LargestBatch,
    *,
    device_type: str,
    fast_layers: bool,
    num_checkpointed: int,
    num_steps: int,
    loaded_bytes: int,
    peak_so_far_bytes: int,
) -> Forecast:
    """loaded_bytes: what is taken before the first step.  peak_so_far_bytes: loading may have taken more than that."""
    activations = estimate.activations(largest.num_tokens, largest.num_predictions, num_checkpointed)
    gradients = estimate.gradients * (_GRADIENTS_AT_PEAK if largest.is_whole_step else 1)
    holes = 1.0 if device_type != "cpu" else _HOLES_WITH_FAST_LAYERS if fast_layers else _HOLES
    batch = activations * holes + _FIRST_STEP_BYTES.get(device_type, 0) + estimate.shape_code * min(num_steps, _MOST_SHAPES)
    return Forecast(max(peak_so_far_bytes, int(loaded_bytes + estimate.optimizer + gradients + batch)), largest)


def try_largest(
    policy: Network,
    objective: Objective,
    examples: Examples,
    largest: LargestBatch,
    token_budget: int,
) -> int:
    """Forward and backward of the largest micro-batch, so that memory runs out now or not at all.

    Leaves no trace in weights, gradients and random states.  Returns the budget with which it fits.
    """
    randoms = random_states()
    policy.train()
    result = accumulate_within_memory(policy, objective, examples, largest.indices, token_budget)
    policy.zero_grad(set_to_none=True)
    restore_random_states(randoms)
    return result.token_budget
