"""Products of float32 matrices through oneDNN instead of MKL, which is half as fast on processors of other makers.

torch reaches it under a name that promises bfloat16.  Where the processor multiplies bfloat16 matrices in hardware (AMX) the
products do lose digits; elsewhere they are exact float32.  So a product is compared before it is used.
"""

import functools
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

# Largest error of a product of 512 terms, relative to its largest value: float32 is at 1e-6, bfloat16 at 1e-3.
_TOLERANCE = 1e-5


_ON, _OFF = "bf16", "none"


def use_onednn(asked: bool) -> bool:
    """Send float32 products through oneDNN if `asked` and if they are exact there.  Returns whether they are sent."""
    is_sent = asked and is_exact()
    _set(_ON if is_sent else _OFF)
    return is_sent


@contextmanager
def through_onednn() -> Generator[None]:
    """Send float32 products through oneDNN, exact or not, then where they went before."""
    before = _setting().fp32_precision
    _set(_ON)
    try:
        yield
    finally:
        _set(before)


@functools.cache
def is_exact() -> bool:
    """Whether float32 products keep their digits in oneDNN on this processor.  Tried once in a process."""
    with through_onednn():
        return torch.backends.mkldnn.is_available() and _error() <= _TOLERANCE


def _set(precision: str) -> None:
    _setting().fp32_precision = precision


def _setting() -> Any:
    return torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue]


def _error() -> float:
    """Of a product as torch makes it now, against float64."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 512, 512, generator=generator)
    exact = left.double() @ right.double()
    return float((left @ right - exact).abs().max() / exact.abs().max())
