"""How long training will take, from one forward pass on this machine."""

import time
from types import MappingProxyType

import numpy as np
import torch

from autotrain.data.batches import Batches, collate
from autotrain.data.store import ExampleStore
from autotrain.models.network import Network
from autotrain.models.probe import undisturbed
from autotrain.training.floor import Amount, forward_flops, training_flops
from autotrain.training.rate import attended_tokens, shapes_of
from autotrain.types import Example

# Tokens of the example that is timed, about: enough for the speed of larger ones, few enough for a short start.
_TOKENS = MappingProxyType({"cpu": 192, "cuda": 8192, "mps": 2048})
# Forward and backward together, in forward passes, where the operations can't be counted.
_FORWARD_PASSES = 3.0


def estimate_seconds(policy: Network, store: ExampleStore, batches: Batches, steps_done: int) -> float:
    """Seconds of the optimizer steps that are left, validation not counted.  A rough figure.

    One pass over one example is timed, and multiplied by how much more a run has to compute.  Modes and random state stay
    as they were.
    """
    wanted = _TOKENS.get(policy.device.type, _TOKENS["cpu"])
    example = store[int(np.abs(store.num_tokens - wanted).argmin())]
    share_left = 1 - steps_done / batches.total_steps
    num_epochs = batches.total_steps / batches.steps_per_epoch
    return _pass_seconds(policy, example) * _passes_an_epoch(policy, store, example) * num_epochs * share_left


def _pass_seconds(policy: Network, example: Example) -> float:
    batch = collate([example])
    with undisturbed(policy), torch.no_grad():
        if policy.device.type == "cuda":
            policy(batch)  # prepares the libraries; a processor's are prepared by the self-test
            torch.cuda.synchronize()
        started = time.perf_counter()
        policy(batch)
        if policy.device.type == "cuda":
            torch.cuda.synchronize()
    return time.perf_counter() - started


def _passes_an_epoch(policy: Network, store: ExampleStore, example: Example) -> float:
    """The operations of forward and backward of all examples, in forward passes of `example`."""
    num_tokens, lengths = sum(len(segment.ids) for segment in example.segments), store.num_tokens.astype(np.float64)
    shapes = shapes_of(policy)
    if shapes is None:
        return _FORWARD_PASSES * float(lengths.sum()) / num_tokens
    predictions = sum(int(segment.trained.sum()) for segment in example.segments)
    one = Amount(num_tokens, predictions, attended_tokens([example]))
    # Prompts that a pair shares are taken for a part of one long text: that is close enough.
    everything = Amount(int(lengths.sum()), int(store.num_trained.sum()), int((lengths * (lengths + 1) / 2).sum()))
    return training_flops(shapes, everything, trains_base=not policy.has_adapter) / forward_flops(shapes, one)
