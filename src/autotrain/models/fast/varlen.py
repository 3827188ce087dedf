"""Attention over all chains of a forest in one call: torch's kernels for sequences of varying lengths, on NVIDIA GPUs.

Two kernels of torch can do it.  The flash kernel takes 16-bit values on GPUs of compute capability 8.0 (A100) and later; the
memory-efficient one takes float32 and older GPUs too.  Each is used only where a self-test on this GPU, at this head size,
found values and gradients equal to attention spelt out (varlen_check.py); elsewhere each chain is computed by itself.

Both run so that the same inputs give the same gradients bit for bit; left alone, they add up in whatever order the GPU's
blocks come to an end, and a resumed run would not be the run that was interrupted.

The plain twin is the attention chain by chain in models/attention.py.
Legend: N tokens, P keys of all paths, Q query heads, K key/value heads, D head size.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.deterministic
from torch import Tensor
from torch.autograd.function import once_differentiable

from autotrain.models.fast.paths import Paths, on_paths
from autotrain.models.precision import compute_dtype

_LOWER_RIGHT = 2  # torch's number of the mask "causal, counted from the last query and the last key"
_FLASH_CAPABILITY = (8, 0)
_FLASH_HEAD_STEP, _FLASH_LARGEST_HEAD = 8, 256


@dataclass(frozen=True)
class Call:
    """What a kernel is told beside the tensors.  window: in positions, the query's own included; None for all."""

    paths: Paths
    scale: float
    window: int | None


Kept = tuple[Tensor, ...]


@dataclass(frozen=True)
class Kernel:
    """forward: (N, Q, D), (P, K, D), (P, K, D) -> output (N, Q, D) and what the backward pass needs beside it.

    backward: gradient of the output, query, key, value, output, what was kept -> the three gradients.
    windows_with_branches: whether a window may be asked for where chains have prefixes.
    """

    name: str
    forward: Callable[[Tensor, Tensor, Tensor, Call], tuple[Tensor, Kept]]
    backward: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Kept, Call], tuple[Tensor, Tensor, Tensor]]
    windows_with_branches: bool = True


def _flash_forward(query: Tensor, key: Tensor, value: Tensor, call: Call) -> tuple[Tensor, Kept]:
    output, normaliser, *_ = torch.ops.aten._flash_attention_forward(
        query, key, value, *_sizes(call), 0.0, call.window is None, False, **_flash_options(call)
    )
    return output, (normaliser,)


def _flash_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, kept: Kept, call: Call
) -> tuple[Tensor, Tensor, Tensor]:
    no_dropout = (torch.zeros(2, dtype=torch.uint64, device=query.device), torch.empty(0, device=query.device))
    with _in_fixed_order():
        return torch.ops.aten._flash_attention_backward(
            *(gradient, query, key, value, output, kept[0], *_sizes(call), 0.0, call.window is None, *no_dropout),
            **_flash_options(call),
        )


def _sizes(call: Call) -> tuple[Tensor, Tensor, int, int]:
    paths = call.paths
    return paths.query_starts, paths.key_starts, paths.longest_chain, paths.longest_path


def _flash_options(call: Call) -> dict[str, Any]:
    """The kernel counts how many keys before the query's own are seen; -1 for all."""
    left = -1 if call.window is None else call.window - 1
    return {"scale": call.scale, "window_size_left": left, "window_size_right": 0}


@contextmanager
def _in_fixed_order() -> Generator[None]:
    """Have kernels that torch only tells apart by its global switch add up in a fixed order; the switch comes back."""
    before = torch.get_deterministic_debug_mode()
    settings: Any = torch.utils.deterministic
    fills = settings.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("error")
    settings.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        settings.fill_uninitialized_memory = fills


def _efficient_forward(query: Tensor, key: Tensor, value: Tensor, call: Call) -> tuple[Tensor, Kept]:
    groups = query.shape[1] // key.shape[1]
    output, normaliser, seed, offset, *_ = torch.ops.aten._efficient_attention_forward(
        *(query[None], _repeated(key, groups), _repeated(value, groups), None, *_sizes(call)),
        *(0.0, _LOWER_RIGHT, True),
        scale=call.scale,
        window_size=call.window,
    )
    return output[0], (normaliser, seed, offset)


def _efficient_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, kept: Kept, call: Call
) -> tuple[Tensor, Tensor, Tensor]:
    groups = query.shape[1] // key.shape[1]
    normaliser, seed, offset = kept
    by_query, by_key, by_value, _ = torch.ops.aten._efficient_attention_backward(
        *(gradient[None], query[None], _repeated(key, groups), _repeated(value, groups), None, output[None]),
        *(*_sizes(call), normaliser, 0.0, seed, offset, _LOWER_RIGHT, False),
        scale=call.scale,
        num_splits_key=1,  # more would add up in any order
        window_size=call.window,
    )
    return by_query[0], _summed(by_key[0], groups), _summed(by_value[0], groups)


def _repeated(rows: Tensor, groups: int) -> Tensor:
    """(P, K, D) -> (1, P, Q, D)."""
    return (rows if groups == 1 else rows.repeat_interleave(groups, dim=1))[None]


def _summed(rows: Tensor, groups: int) -> Tensor:
    """(P, Q, D) -> (P, K, D)."""
    return rows if groups == 1 else rows.unflatten(1, (-1, groups)).sum(dim=2)


FLASH = Kernel("flash", _flash_forward, _flash_backward)
# In its backward pass a window is counted from the upper left: wrong where a path has more keys than queries.
EFFICIENT = Kernel("memory-efficient", _efficient_forward, _efficient_backward, windows_with_branches=False)


class _Varlen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, kernel: Kernel, call: Call) -> Tensor:
        output, kept = kernel.forward(query, key, value, call)
        ctx.kernel, ctx.call = kernel, call
        ctx.save_for_backward(query, key, value, output, *kept)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        query, key, value, output, *kept = ctx.saved_tensors
        gradients = ctx.kernel.backward(grad_outputs[0].contiguous(), query, key, value, output, tuple(kept), ctx.call)
        return (*gradients, None, None)


def attend_at_once(query: Tensor, key: Tensor, value: Tensor, kernel: Kernel, call: Call) -> Tensor:
    """(1, N, Q, D): each chain attends to its path, causally.  query: (1, Q, N, D).  key, value: (1, K, N, D)."""
    dtype = compute_dtype(query)
    rows = [tensor[0].transpose(0, 1).to(dtype) for tensor in (query, key, value)]  # (N, heads, D)
    keys, values = on_paths(rows[1], call.paths), on_paths(rows[2], call.paths)
    with torch.autocast(query.device.type, enabled=False):
        output: Tensor = _Varlen.apply(rows[0], keys, values, kernel, call)  # pyright: ignore[reportAssignmentType]
    return output[None]


def candidate(device: torch.device, dtype: torch.dtype, head_size: int) -> Kernel | None:
    """The kernel that should be able to do it on this device, None for none."""
    if device.type != "cuda" or torch.version.hip is not None:  # AMD's kernels count causality from the upper left
        return None
    if dtype == torch.float32:
        return EFFICIENT
    if dtype not in (torch.float16, torch.bfloat16):
        return None
    fits = head_size % _FLASH_HEAD_STEP == 0 and head_size <= _FLASH_LARGEST_HEAD
    return FLASH if fits and torch.cuda.get_device_capability(device) >= _FLASH_CAPABILITY else EFFICIENT
