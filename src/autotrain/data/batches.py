"""Which examples make a step, how a step is cut, and how examples are laid out in a batch."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np
import torch

from autotrain.data.lengths import Lengths
from autotrain.data.pack import pack_lengths
from autotrain.data.store import ExampleStore, num_targets
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Batch, Counts, Example, Facts, Span

# Above so many micro-batches the last one hardly counts.
_MOST_BALANCED = 64


class Singles(Sequence[Sequence[int]]):
    """Each row a unit by itself, without a list for each."""

    def __init__(self, num_rows: int) -> None:
        self._num_rows = num_rows

    def __len__(self) -> int:
        return self._num_rows

    @overload
    def __getitem__(self, index: int) -> Sequence[int]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sequence[int]]: ...
    def __getitem__(self, index: int | slice) -> Sequence[int] | Sequence[Sequence[int]]:
        rows = range(self._num_rows)[index]
        return (rows,) if isinstance(rows, int) else [(row,) for row in rows]


class Batches:
    """The order of the examples: units (rows or packed blocks) in a permutation that depends on seed and epoch only."""

    def __init__(
        self, store: ExampleStore, *, units: Sequence[Sequence[int]], units_per_step: int, epochs: int, seed: int
    ) -> None:
        if not len(units) or units_per_step < 1:
            raise ValueError("a step needs at least one unit")
        self.store = store
        self._units = units
        self._units_per_step = units_per_step
        self._epochs = epochs
        self._seed = seed
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def num_units(self) -> int:
        return len(self._units)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of an epoch; the last may be smaller."""
        return -(-self.num_units // self._units_per_step)

    @property
    def total_steps(self) -> int:
        return self.steps_per_epoch * self._epochs

    def step(self, step: int) -> list[int]:
        """Example indices of the optimizer step `step`, counted from 0 over all epochs."""
        if not 0 <= step < self.total_steps:
            raise IndexError(f"step {step} of {self.total_steps}")
        epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
        start = step_of_epoch * self._units_per_step
        units = self._order_of(epoch)[start : start + self._units_per_step]
        return [index for unit in units for index in self._units[int(unit)]]

    def _order_of(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.Generator(np.random.PCG64([self._seed, epoch])).permutation(self.num_units)
        return self._order[1]


def make_batches(store: ExampleStore, params: LLMTrainingParams, lengths: Lengths, *, num_devices: int = 1) -> Batches:
    """Rows are units; with `packing`, for sft, blocks of rows are."""
    is_packed = params.packing and params.trainer == "sft"
    units = pack_lengths(store.num_tokens, lengths.block_size) if is_packed else Singles(len(store))
    units_per_step = params.batch_size * params.gradient_accumulation * num_devices
    return Batches(store, units=units, units_per_step=units_per_step, epochs=params.epochs, seed=params.seed)


def cut(indices: Sequence[int], num_tokens: Sequence[int] | np.ndarray, token_budget: int) -> list[list[int]]:
    """Cut a step into micro-batches of at most `token_budget` tokens, longest examples first, and about equally large.

    num_tokens: tokens of every example of the store.  An example above the budget is a micro-batch by itself.
    """
    ordered = sorted(indices, key=lambda index: (-int(num_tokens[index]), index))
    pieces = _fill(ordered, num_tokens, token_budget)
    if not 1 < len(pieces) <= _MOST_BALANCED:
        return pieces
    # The least budget that needs no more micro-batches: a small one is slower, token by token.
    low, high = sum(int(num_tokens[index]) for index in ordered) // len(pieces), token_budget
    while low < high:
        middle = (low + high) // 2
        tried = _fill(ordered, num_tokens, middle)
        if len(tried) > len(pieces):
            low = middle + 1
        else:
            high, pieces = middle, tried
    return pieces


def _fill(ordered: Sequence[int], num_tokens: Sequence[int] | np.ndarray, token_budget: int) -> list[list[int]]:
    pieces: list[list[int]] = []
    room = 0
    for index in ordered:
        needed = int(num_tokens[index])
        if not pieces or needed > room:
            pieces.append([])
            room = token_budget
        pieces[-1].append(index)
        room -= needed
    return pieces


def count(examples: Iterable[Example]) -> Counts:
    """The divisors of a loss over these examples."""
    tokens: Counter[int] = Counter()  # sequence within the example -> predictions
    sequences = num_examples = 0
    for example in examples:
        for segment in example.segments:
            tokens[segment.sequence] += num_targets(segment)
        sequences += example.num_sequences
        num_examples += 1
    by_sequence = tuple(tokens[place] for place in range(max(tokens, default=-1) + 1))
    return Counts(tokens.total(), sequences, num_examples, by_sequence)


def collate(examples: Sequence[Example]) -> Batch:
    """Lay examples out flat, without padding.  CPU tensors.

    Positions continue from the parent's end; the first token of a child is predicted from its parent's last token.
    """
    layout = _Layout()
    for example in examples:
        layout.add(example)
    facts = Facts(
        torch.tensor([example.margin for example in examples], dtype=torch.float32),
        torch.tensor([example.label for example in examples], dtype=torch.float32),
    )
    return layout.batch(len(examples), facts)


class _Layout:
    def __init__(self) -> None:
        self._ids: list[np.ndarray] = []
        self._positions: list[np.ndarray] = []
        self._sources: list[np.ndarray] = []
        self._targets: list[np.ndarray] = []
        self._sequences: list[np.ndarray] = []
        self._spans: list[Span] = []
        self._sequence_ends: list[int] = []
        self._num_tokens = 0

    def add(self, example: Example) -> None:
        first_span, first_sequence = len(self._spans), len(self._sequence_ends)
        self._sequence_ends += [-1] * example.num_sequences
        next_positions: list[int] = []
        for segment in example.segments:
            length, start = len(segment.ids), self._num_tokens
            parent = None if segment.parent is None else first_span + segment.parent
            position = 0 if segment.parent is None else next_positions[segment.parent]
            before = -1 if parent is None else self._spans[parent].start + self._spans[parent].length - 1
            source = np.arange(start - 1, start + length - 1)
            source[0] = before
            is_target = segment.trained if parent is not None else np.r_[False, segment.trained[1:]]
            self._ids.append(segment.ids)
            self._positions.append(np.arange(position, position + length))
            self._sources.append(source[is_target])
            self._targets.append(segment.ids[is_target])
            self._sequences.append(np.full(int(is_target.sum()), first_sequence + segment.sequence))
            self._spans.append(Span(start, length, parent))
            self._sequence_ends[first_sequence + segment.sequence] = start + length - 1
            self._num_tokens += length
            next_positions.append(position + length)

    def batch(self, num_examples: int, facts: Facts) -> Batch:
        return Batch(
            input_ids=_joined(self._ids),
            position_ids=_joined(self._positions),
            spans=tuple(self._spans),
            source=_joined(self._sources),
            target=_joined(self._targets),
            sequence=_joined(self._sequences),
            sequence_end=torch.tensor(self._sequence_ends, dtype=torch.int64),
            num_examples=num_examples,
            facts=facts,
        )


def _joined(pieces: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(pieces).astype(np.int64)) if pieces else torch.zeros(0, dtype=torch.int64)
