"""Is each kernel right on this machine?  A few rows of random numbers, compared with the plain twins before first use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from autotrain.models.kernels import native, plain
from autotrain.models.kernels.hashing import keys_of
from autotrain.models.kernels.interface import Kernels
from autotrain.models.kernels.tiles import Heads, Tiles

# Of the largest number of a result.  In bfloat16 a number may round to its other neighbour, and be multiplied after that.
_TOLERANCE = MappingProxyType({torch.float32: 1e-5, torch.bfloat16: 2**-6})
# More than a vector of elements, and no multiple of one.
_ROWS, _WIDTH, _HEADS = 5, 76, 2

# A kernel, which takes all kernels first; its twin; their arguments.
Case = tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...]]


def failed_ops(kernels: Kernels) -> list[str]:
    """The names of the ops whose kernel and twin differ, in what they return or in what they leave in their arguments."""
    with torch.autocast("cpu", enabled=False):  # the first use may be inside a model's pass
        return [
            f"{twin.__name__} in {str(dtype).removeprefix('torch.')}"
            for dtype, tolerance in _TOLERANCE.items()
            for kernel, twin, arguments in cases(dtype)
            if not _is_right(kernels, kernel, twin, arguments, tolerance)
        ]


def _is_right(
    kernels: Kernels, kernel: Callable[..., Any], twin: Callable[..., Any], arguments: tuple[Any, ...], tolerance: float
) -> bool:
    mine, theirs = _copies(arguments), _copies(arguments)
    made, wanted = tensors_of(kernel(kernels, *mine)), tensors_of(twin(*theirs))
    pairs = zip([*made, *tensors_of(mine)], [*wanted, *tensors_of(theirs)], strict=True)
    return all(agree(one, other, tolerance) for one, other in pairs)


def agree(made: Tensor, wanted: Tensor, tolerance: float) -> bool:
    """tolerance: as a part of the largest number that is wanted."""
    if made.shape != wanted.shape or made.dtype != wanted.dtype:
        return False
    largest = max(wanted.abs().max().item(), 1e-6)
    return (made.double() - wanted.double()).abs().max().item() <= tolerance * largest


def cases(dtype: torch.dtype) -> list[Case]:
    """Each op on small random tensors of the type, the same at every call."""
    state = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=state).to(dtype)

    x, grad, other = (random(_ROWS, _WIDTH) for _ in range(3))
    weight, rstd = random(_WIDTH), torch.rand(_ROWS, generator=state)
    cos, sin = random(_ROWS, _WIDTH // _HEADS), random(_ROWS, _WIDTH // _HEADS)
    keys = keys_of(1)
    target = torch.arange(_ROWS) * 13
    return [
        (native.rms_norm, plain.rms_norm, (x, weight, 1e-5, dtype)),
        (native.add_rms_norm, plain.add_rms_norm, (x, other, weight, 1e-5, dtype)),
        (native.rms_norm_backward, plain.rms_norm_backward, (grad, x, weight, rstd, other, True)),
        (native.swiglu, plain.swiglu, (x, other)),
        (native.swiglu_backward, plain.swiglu_backward, (grad, x, other, None)),
        (native.rope_, plain.rope_, (x, _HEADS, cos, sin, False)),
        (native.rope_, plain.rope_, (x, _HEADS, cos, sin, True)),
        *_attention_cases(random),
        *_lora_cases(random),
        (native.log_prob, plain.log_prob, (x, target)),
        (native.log_prob_and_gradient_, plain.log_prob_and_gradient_, (x, target)),
        (native.dequantize_4bit, plain.dequantize_4bit, (*_weight(nested=False), torch.empty(13, 30, dtype=dtype))),
        (native.dequantize_4bit, plain.dequantize_4bit, (*_weight(nested=True), torch.empty(13, 30, dtype=dtype))),
        (native.dropout, plain.dropout, (x, 0.3, keys, None)),
        (native.dropout, plain.dropout, (x, 0.3, keys, other)),
    ]


def _attention_cases(random: Callable[..., Tensor]) -> list[Case]:
    """A text of 90 tokens, two that continue its first 70, and one for itself; 4 query heads to 2 of keys."""
    first, lengths = torch.arange(70), (20, 9, 11)
    pieces = [torch.arange(90), torch.cat([first, torch.arange(90, 99)]), torch.arange(99, 110)]
    blocks = [[0, 64, 64], [0, 90, 26], [90, 79, 9], [169, 11, 11]]
    tiles = Tiles(torch.cat(pieces).int(), torch.tensor(blocks).int(), torch.tensor([[0, 3, 0], [3, 4, 0]]).int(), 1)
    found: list[Case] = []
    for window in (None, 40):
        heads = Heads(4, 2, 0.3, window)
        query, grad, key, value = (random(sum(lengths) + 70, width) for width in (4 * 20, 4 * 36, 2 * 20, 2 * 36))
        out, sums = plain.attention(query, key, value, tiles, heads)
        found.append((native.attention, plain.attention, (query, key, value, tiles, heads)))
        backward = (grad, query, key, value, out, sums, tiles, heads)
        found.append((native.attention_backward, plain.attention_backward, backward))
    return found


def _lora_cases(random: Callable[..., Tensor]) -> list[Case]:
    """Adapters of ranks 3, 16 and 41 on 299 rows of 83 and 160 columns; matrices by rows and by columns."""
    found: list[Case] = []
    for rank, width in ((3, 83), (16, 160), (41, 83)):
        wide, narrow = random(299, width), random(299, rank)
        for matrix in (random(rank, width).float(), random(width, rank).float().T):
            found.append((native.lora_shrink, plain.lora_shrink, (wide, matrix, 0.5)))
            found.append((native.lora_expand_, plain.lora_expand_, (wide, narrow, matrix, 0.5)))
            found.append((native.lora_backward, plain.lora_backward, (wide, narrow, matrix, 0.5, torch.empty_like(narrow))))
    return found


@dataclass(frozen=True)
class _Scales:
    absmax: Tensor
    code: Tensor
    blocksize: int


@dataclass(frozen=True)
class _FourBit(_Scales):
    offset: Tensor | None = None
    state2: _Scales | None = None


def _weight(*, nested: bool) -> tuple[Tensor, _FourBit]:
    """390 numbers in blocks of 64: six whole ones and a rest."""
    state = torch.Generator().manual_seed(1)
    packed = torch.randint(256, (195,), dtype=torch.uint8, generator=state)
    scales, code = torch.rand(7, generator=state), torch.linspace(-1, 1, 16)
    if not nested:
        return packed, _FourBit(scales, code, 64)
    outer = _Scales(scales[:2], torch.linspace(-1, 1, 256), 4)
    inner = torch.randint(256, (7,), dtype=torch.uint8, generator=state)
    return packed, _FourBit(inner, code, 64, torch.tensor(0.3), outer)


def _copies(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.clone() if isinstance(value, Tensor) else value for value in arguments)


def tensors_of(values: Any) -> Sequence[Tensor]:
    several = values if isinstance(values, tuple) else (values,)
    return [value for value in several if isinstance(value, Tensor)]
