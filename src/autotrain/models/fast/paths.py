"""The chains of a layout as attention kernels for sequences of varying lengths take them.

A chain's queries see the tokens before it on its path, and its own up to themselves.  So keys are laid out path by path:
first the prefix, then the chain's own.  With causality counted from the last key of a path and the last query of its chain
("from the lower right"), one call of a kernel computes all chains of a forest, branches included, and windows count
positions on the path.

Legend: N tokens of the batch, C chains that aren't empty, P keys of all their paths.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from autotrain.models.transfer import to_device


class Chained(Protocol):
    """A chain of a Layout."""

    @property
    def start(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def prefix(self) -> tuple[tuple[int, int], ...]: ...


@dataclass(frozen=True)
class Branches:
    """How keys of tokens become keys of paths, and their gradients come back.

    tokens: (P,) int64, the token of each key.  own: (N,) int64, which key of a path is the token's own.
    copies: rounds of (keys, tokens), int64 both, that name all other keys; no token is named twice in a round, so that
    adding up a round gives the same sum in whatever order a device adds.
    """

    tokens: Tensor
    own: Tensor
    copies: tuple[tuple[Tensor, Tensor], ...]


@dataclass(frozen=True)
class Paths:
    """query_starts, key_starts: (C + 1,) int32, where each chain's queries and its path's keys begin, and the end.

    branches: None where no chain has a prefix, so that keys lie as the tokens do.
    """

    query_starts: Tensor
    key_starts: Tensor
    longest_chain: int
    longest_path: int
    branches: Branches | None


def paths_of(chains: Sequence[Chained], device: torch.device) -> Paths:
    """The metadata of one batch, on `device`; the copies are queued there, nothing waits for them."""
    kept = [index for index, chain in enumerate(chains) if chain.length]
    own_lengths = np.array([chains[index].length for index in kept], dtype=np.int64)
    prefix_lengths = np.array([sum(count for _, count in chains[index].prefix) for index in kept], dtype=np.int64)
    key_starts = _starts(own_lengths + prefix_lengths)
    branches = _branches(chains, kept, key_starts, prefix_lengths) if prefix_lengths.any() else None
    return Paths(
        _moved(_starts(own_lengths).astype(np.int32), device),
        _moved(key_starts.astype(np.int32), device),
        int(own_lengths.max(initial=0)),
        int((own_lengths + prefix_lengths).max(initial=0)),
        branches and _on(branches, device),
    )


def path_of(chains: Sequence[Chained], chain: Chained) -> np.ndarray:
    """int32, the tokens on the path of a chain, its own at the end."""
    before = [(chains[earlier].start, count) for earlier, count in chain.prefix]
    pieces = [np.arange(start, start + length, dtype=np.int32) for start, length in (*before, (chain.start, chain.length))]
    return np.concatenate(pieces)


def _starts(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _branches(
    chains: Sequence[Chained], kept: Sequence[int], key_starts: np.ndarray, prefix_lengths: np.ndarray
) -> Branches:
    """Keys of paths, on the processor."""
    pieces: list[np.ndarray] = []
    for index in kept:
        pieces += [_tokens(chains[earlier].start, count) for earlier, count in chains[index].prefix]
        pieces.append(_tokens(chains[index].start, chains[index].length))
    tokens = np.concatenate(pieces)
    is_own = np.ones(len(tokens), dtype=bool)
    for start, length in zip(key_starts[:-1], prefix_lengths, strict=True):
        is_own[start : start + length] = False
    own_keys = np.flatnonzero(is_own)  # chains lie side by side, so their own keys are in the order of the tokens
    copies = _rounds(np.flatnonzero(~is_own), tokens)
    return Branches(torch.from_numpy(tokens), torch.from_numpy(own_keys), copies)


def _tokens(start: int, count: int) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.int64)


def _rounds(keys: np.ndarray, tokens: np.ndarray) -> tuple[tuple[Tensor, Tensor], ...]:
    """Split `keys` so that no two keys of a round are of the same token."""
    order = np.argsort(tokens[keys], kind="stable")
    by_token = keys[order]
    named = tokens[by_token]
    is_first = np.concatenate([np.ones(1, bool), named[1:] != named[:-1]])
    places = np.arange(len(named))
    occurrence = places - np.maximum.accumulate(np.where(is_first, places, 0))  # 0 for a token's first copy, 1 for the next
    rounds = [by_token[occurrence == number] for number in range(int(occurrence.max()) + 1)]
    return tuple((torch.from_numpy(one), torch.from_numpy(tokens[one])) for one in rounds)


def _moved(values: np.ndarray, device: torch.device) -> Tensor:
    return to_device(torch.from_numpy(values), device)


def _on(branches: Branches, device: torch.device) -> Branches:
    return Branches(
        to_device(branches.tokens, device),
        to_device(branches.own, device),
        tuple((to_device(keys, device), to_device(tokens, device)) for keys, tokens in branches.copies),
    )


class _KeysOfPaths(torch.autograd.Function):
    """(N, K, D) of tokens -> (P, K, D) of paths; a token's gradient is the sum over its keys."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, branches: Branches) -> Tensor:
        ctx.branches = branches
        return rows.index_select(0, branches.tokens)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        gradient: Tensor = grad_outputs[0]
        branches: Branches = ctx.branches
        total = gradient.index_select(0, branches.own)
        for keys, tokens in branches.copies:
            total.index_add_(0, tokens, gradient.index_select(0, keys))
        return total, None


def on_paths(rows: Tensor, paths: Paths) -> Tensor:
    """Keys or values as the kernels take them.  rows: (N, K, D), those of the tokens.  Returns (P, K, D)."""
    if paths.branches is None:
        return rows
    return _KeysOfPaths.apply(rows, paths.branches)  # pyright: ignore[reportReturnType]
