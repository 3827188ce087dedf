"""What bitsandbytes says about a weight in 4 bits: the parts of its QuantState that the kernels read."""

from typing import Protocol

from torch import Tensor


class Scales(Protocol):
    """What codes of 8 bits mean.  absmax: (blocks,) float32.  code: (256,) float32.  blocksize: codes a block."""

    absmax: Tensor
    code: Tensor
    blocksize: int


class FourBit(Protocol):
    """What codes of 4 bits mean.  absmax: (blocks,), float32, or uint8 codes that state2 and offset explain."""

    absmax: Tensor
    code: Tensor
    blocksize: int
    offset: Tensor | None
    state2: Scales | None
