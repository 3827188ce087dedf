"""How long training will take, from one forward pass on this machine."""

import time

import torch

from autotrain.data.batches import Batches, collate
from autotrain.data.store import ExampleStore
from autotrain.models.network import Network
from autotrain.models.probe import undisturbed

# Forward and backward together, in forward passes: the backward pass computes about twice as much.
_FORWARD_PASSES = 3.0


def estimate_seconds(policy: Network, store: ExampleStore, batches: Batches, steps_done: int) -> float:
    """Seconds of the optimizer steps that are left, validation not counted.  A rough figure.

    The second of two passes over an example of the first step is timed.  Modes and random state stay as they were.
    """
    first = sorted(batches.step(0), key=lambda index: (int(store.num_tokens[index]), index))
    batch = collate([store[first[len(first) // 2]]])  # of middle length: the start is to stay short
    with undisturbed(policy), torch.no_grad():
        policy(batch)
        started = time.perf_counter()
        policy(batch)
        if policy.device.type == "cuda":
            torch.cuda.synchronize()
    seconds_a_token = (time.perf_counter() - started) / batch.num_tokens
    share_left = 1 - steps_done / batches.total_steps
    num_epochs = batches.total_steps / batches.steps_per_epoch
    return _FORWARD_PASSES * seconds_a_token * float(store.num_tokens.sum()) * num_epochs * share_left
