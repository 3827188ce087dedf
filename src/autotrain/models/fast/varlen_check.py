"""Which kernel computes a layer's attention: the fast one where it may and where a self-test found it right.

The self-test runs once for each kind of layer (type, head size, grouping, window) on the device itself: a prompt with two
branches and two documents, forward and backward, against attention spelt out with a dense mask in float32.
Legend: N tokens, Q query heads, K key/value heads, D head size.
"""

import functools
from collections.abc import Callable, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from autotrain import log
from autotrain.models.fast.paths import Chained, paths_of
from autotrain.models.fast.varlen import Call, Kernel, attend_at_once, candidate
from autotrain.models.precision import compute_dtype

# Largest error allowed, relative to the largest value; a wrong mask is off by 0.1 and more.
_TOLERANCE = MappingProxyType({torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 4e-2})
_NUM_KEY_HEADS = 2
_SHORT_WINDOW = 37  # shorter than a kernel's block


class _TestChain:
    """start, length and prefix, as of a Layout's chain."""

    def __init__(self, start: int, length: int, prefix: tuple[tuple[int, int], ...] = ()) -> None:
        self.start, self.length, self.prefix = start, length, prefix


# A prompt of 70 with its first branch, the second branch, and two documents; blocks of kernels are 32 to 128 long.
TEST_CHAINS: Sequence[Chained] = (
    _TestChain(0, 70 + 85),
    _TestChain(155, 45, ((0, 70),)),
    _TestChain(200, 1),
    _TestChain(201, 190),
)
_WITHOUT_BRANCHES = tuple(chain for chain in TEST_CHAINS if not chain.prefix)


def choose_kernel(query: Tensor, key: Tensor, value: Tensor, *, window: int | None, has_branches: bool) -> Kernel | None:
    """The kernel for a layer's tensors, (1, heads, N, D) each; None where chains are to be computed one by one."""
    dtype = compute_dtype(query)
    if value.shape[-1] != query.shape[-1] or (key.dtype != dtype and not torch.is_autocast_enabled(query.device.type)):
        return None
    kernel = candidate(query.device, dtype, query.shape[-1])
    if kernel is None or (window is not None and has_branches and not kernel.windows_with_branches):
        return None
    groups = query.shape[1] // key.shape[1]
    return kernel if is_right(kernel, query.device, dtype, query.shape[-1], groups, window is not None) else None


@functools.cache
def is_right(
    kernel: Kernel, device: torch.device, dtype: torch.dtype, head_size: int, groups: int, has_window: bool
) -> bool:
    """Whether values and gradients agree with attention spelt out.  Says so where they don't, once."""
    try:
        error = _error(kernel, device, dtype, head_size, groups, has_window)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as reason:  # torch's answer where a kernel can't take a size or a GPU
        log.notice(f"attention: the {kernel.name} kernel can't be used here ({str(reason)[:120]}); slower, the same numbers")
        return False
    if not error <= _TOLERANCE[dtype]:
        log.notice(f"attention: the {kernel.name} kernel is off by {error:.1e} on this device; slower, the right numbers")
        return False
    return True


def _error(kernel: Kernel, device: torch.device, dtype: torch.dtype, head_size: int, groups: int, has_window: bool) -> float:
    chains = TEST_CHAINS if kernel.windows_with_branches or not has_window else _WITHOUT_BRANCHES
    chains, num_tokens = _side_by_side(chains)
    paths = paths_of(chains, device)
    call = Call(paths, head_size**-0.5, _SHORT_WINDOW if has_window else None)
    seen = dense_mask(chains, num_tokens, call.window).to(device)
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, num_tokens, head_size) for heads in (groups * _NUM_KEY_HEADS, _NUM_KEY_HEADS, _NUM_KEY_HEADS)]
    inputs = [torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes]
    slope = torch.randn((1, num_tokens, shapes[0][1], head_size), generator=generator).to(device, dtype)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        found = _with_gradients(inputs, slope, lambda q, k, v: attend_at_once(q, k, v, kernel, call))
        wide = [tensor.float() for tensor in inputs]
        right = _with_gradients(wide, slope.float(), lambda q, k, v: spelt_out(q, k, v, seen, call.scale))
    return max(float((a.float() - b).abs().max() / b.abs().max()) for a, b in zip(found, right, strict=True))


def _side_by_side(chains: Sequence[Chained]) -> tuple[Sequence[Chained], int]:
    """The same chains without gaps between them."""
    moved: list[Chained] = []
    end = 0
    for chain in chains:
        moved.append(_TestChain(end, chain.length, chain.prefix))
        end += chain.length
    return moved, end


def _with_gradients(
    inputs: Sequence[Tensor], slope: Tensor, function: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> list[Tensor]:
    leaves = [tensor.detach().requires_grad_(True) for tensor in inputs]
    output = function(*leaves)
    return [output.detach(), *torch.autograd.grad(output, leaves, slope)]


def dense_mask(chains: Sequence[Chained], num_tokens: int, window: int | None) -> Tensor:
    """(N, N) bool, on the processor: which tokens each token sees."""
    seen = torch.zeros(num_tokens, num_tokens, dtype=torch.bool)
    for chain in chains:
        own = torch.arange(chain.start, chain.start + chain.length)
        before = [torch.arange(chains[earlier].start, chains[earlier].start + count) for earlier, count in chain.prefix]
        path = torch.cat([*before, own])
        distance = torch.arange(len(path) - chain.length, len(path))[:, None] - torch.arange(len(path))
        seen[own[:, None], path] = (distance >= 0) & (distance < (window or len(path)))
    return seen


def spelt_out(query: Tensor, key: Tensor, value: Tensor, seen: Tensor, scale: float) -> Tensor:
    """(1, N, Q, D): attention by its definition.  query: (1, Q, N, D).  key, value: (1, K, N, D).  seen: (N, N)."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    scores = (query @ key.transpose(2, 3) * scale).masked_fill(~seen, float("-inf"))
    return (scores.softmax(dim=-1) @ value).transpose(1, 2)
