"""Who sees whom in a forest laid out flat: chains of consecutive tokens and what comes before them on their path."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from autotrain.models.fast.paths import Paths, paths_of
from autotrain.models.fast.tiles import tiles_of
from autotrain.models.kernels.tiles import Tiles
from autotrain.types import Span


@dataclass(frozen=True, slots=True)
class Chain:
    """Consecutive tokens start .. start+length-1, each the next one of the same path.

    prefix: what comes before on the path, as (index of an earlier chain, number of its first tokens), root first.
    """

    start: int
    length: int
    prefix: tuple[tuple[int, int], ...] = ()

    @property
    def prefix_length(self) -> int:
        return sum(num_tokens for _, num_tokens in self.prefix)


@dataclass(frozen=True)
class Layout:
    """Who sees whom in one flat row.  Built once per batch; masks are made once and shared by all layers.

    fast: whether attention of our own may compute it.
    """

    chains: tuple[Chain, ...]
    num_tokens: int
    fast: bool = False
    calls: list[None] = field(default_factory=list[None])
    _masks: dict[tuple[int, int, int | None, torch.device], Tensor] = field(default_factory=dict[Any, Tensor])
    _paths: dict[torch.device, Paths] = field(default_factory=dict[Any, Paths])
    _tiles: dict[tuple[int | None, int], Tiles] = field(default_factory=dict[Any, Tiles])

    @property
    def num_calls(self) -> int:
        """How many attention layers have used this layout."""
        return len(self.calls)

    @property
    def longest_path(self) -> int:
        """Tokens of the longest path from a root to a leaf."""
        return max((chain.prefix_length + chain.length for chain in self.chains), default=0)

    def mask(self, length: int, prefix: int, window: int | None, device: torch.device) -> Tensor:
        """(length, prefix + length) bool: what each query sees.  A window counts positions on the path."""
        key = (length, prefix, window, device)
        if key not in self._masks:
            queries = torch.arange(prefix, prefix + length, device=device)[:, None]
            distance = queries - torch.arange(prefix + length, device=device)
            seen = distance >= 0
            self._masks[key] = seen if window is None else seen & (distance < window)
        return self._masks[key]

    def tiles(self, window: int | None, num_heads: int) -> Tiles:
        """The chains as the attention kernel takes them.  num_heads: of keys."""
        if (window, num_heads) not in self._tiles:
            self._tiles[window, num_heads] = tiles_of(self.chains, window, num_heads)
        return self._tiles[window, num_heads]

    def paths(self, device: torch.device) -> Paths:
        """The chains as kernels for sequences of varying lengths take them."""
        if device not in self._paths:
            self._paths[device] = paths_of(self.chains, device)
        return self._paths[device]


def make_layout(spans: Sequence[Span]) -> Layout:
    """Join spans that continue each other into chains.  Raises ValueError where spans leave gaps or overlap."""
    chains: list[Chain] = []
    tails: list[int] = []  # for each chain, its last span
    chain_of: list[int] = []  # for each span, its chain
    for index, span in enumerate(spans):
        if span.length == 0 and span.parent is None:  # an empty root: its children are roots of their own
            chain_of.append(-1)
            continue
        chain = -1 if span.parent is None else chain_of[span.parent]
        if chain >= 0 and tails[chain] == span.parent and chains[chain].start + chains[chain].length == span.start:
            chains[chain] = Chain(chains[chain].start, chains[chain].length + span.length, chains[chain].prefix)
            tails[chain] = index
        else:
            chains.append(Chain(span.start, span.length, _prefix(spans, span, chain, chains)))
            tails.append(index)
            chain = len(chains) - 1
        chain_of.append(chain)
    return _checked(chains)


def _prefix(spans: Sequence[Span], span: Span, parent_chain: int, chains: Sequence[Chain]) -> tuple[tuple[int, int], ...]:
    if span.parent is None or parent_chain < 0:
        return ()
    parent, chain = spans[span.parent], chains[parent_chain]
    return (*chain.prefix, (parent_chain, parent.start + parent.length - chain.start))


def _checked(chains: Sequence[Chain]) -> Layout:
    end = 0
    for chain in chains:
        if chain.start != end:
            raise ValueError(f"spans must lie side by side: one starts at {chain.start}, the one before ends at {end}")
        end += chain.length
    return Layout(tuple(chains), end)
