"""The scores of all examples of a store, a few at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from autotrain.data.batches import collate, cut
from autotrain.data.store import ExampleStore
from autotrain.models.probe import undisturbed
from autotrain.models.score import ScorePolicy
from autotrain.types import Example

_WINDOW_EXAMPLES = 256  # a few are cut into batches at a time, so that scores come in order


def scores_of(policy: ScorePolicy, store: ExampleStore, token_budget: int) -> Iterator[tuple[int, np.ndarray]]:
    """(index, its sequences' scores as float32), in order.  Leaves modes and random state as they were."""
    for start in range(0, len(store), _WINDOW_EXAMPLES):
        examples = [store[index] for index in range(start, min(start + _WINDOW_EXAMPLES, len(store)))]
        found: dict[int, np.ndarray] = {}
        for part in cut(range(len(examples)), [example.num_tokens for example in examples], token_budget):
            found.update(zip(part, _scores_of([examples[number] for number in part], policy), strict=True))
        yield from ((start + number, found[number]) for number in range(len(examples)))


def _scores_of(examples: Sequence[Example], policy: ScorePolicy) -> list[np.ndarray]:
    with undisturbed(policy), torch.no_grad():
        values = policy(collate(examples)).values.cpu().numpy()
    ends = np.cumsum([example.num_sequences for example in examples])
    return np.split(values, ends[:-1])
