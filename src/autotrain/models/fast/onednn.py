"""Products of float32 matrices through oneDNN instead of MKL, which is half as fast on processors of other makers.

torch reaches it under a name that promises bfloat16.  Where the processor multiplies bfloat16 matrices in hardware (AMX) the
products do lose digits; elsewhere they are exact float32.  So a product is compared before it is used.
"""

from typing import Any

import torch

# Largest error of a product of 512 terms, relative to its largest value: float32 is at 1e-6, bfloat16 at 1e-3.
_TOLERANCE = 1e-5


def use_onednn(asked: bool) -> bool:
    """Send float32 products through oneDNN if `asked` and if they are exact there.  Returns whether they are sent."""
    setting: Any = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue]
    setting.fp32_precision = "bf16" if asked else "none"
    if not asked:
        return False
    if not torch.backends.mkldnn.is_available() or _error() > _TOLERANCE:
        setting.fp32_precision = "none"
        return False
    return True


def _error() -> float:
    """Of a product as torch makes it now, against float64."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 512, 512, generator=generator)
    exact = left.double() @ right.double()
    return float((left @ right - exact).abs().max() / exact.abs().max())
