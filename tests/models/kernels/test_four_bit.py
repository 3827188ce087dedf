"""Weights in 4 bits become what bitsandbytes makes of them."""

import importlib.util

import pytest
import torch

from autotrain.models.kernels import library, native, ops, plain
from autotrain.models.kernels.interface import Kernels

TYPES = [torch.float32, torch.bfloat16]


needs_library = pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")


def normal(shape: tuple[int, int]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@needs_library
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
@pytest.mark.parametrize(("shape", "block_size"), [((48, 64), 64), ((300, 576), 64), ((70, 2048), 1024)])
def test_the_same_numbers_as_bitsandbytes(
    kernels: Kernels, shape: tuple[int, int], block_size: int, quant_type: str, is_nested: bool, dtype: torch.dtype
):
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    weight = normal(shape).to(dtype)
    packed, state = quantize_4bit(weight, blocksize=block_size, quant_type=quant_type, compress_statistics=is_nested)
    wanted = dequantize_4bit(packed, state)
    assert torch.equal(native.dequantize_4bit(kernels, packed, state, torch.empty_like(weight)), wanted)
    assert torch.equal(plain.dequantize_4bit(packed, state, torch.empty_like(weight)), wanted)
    assert torch.equal(ops.dequantize_4bit(packed, state, torch.empty_like(weight)), wanted)
    library.allow(False)
    try:
        assert torch.equal(ops.dequantize_4bit(packed, state, torch.empty_like(weight)), wanted)
    finally:
        library.allow(True)


@needs_library
@pytest.mark.parametrize("is_allowed", [True, False])
@pytest.mark.parametrize("shape", [(5, 30), (64, 160), (3, 576)])
def test_rows_that_are_no_multiple_of_a_block(kernels: Kernels, shape: tuple[int, int], is_allowed: bool):
    from bitsandbytes.functional import quantize_4bit

    # Blocks go on over the ends of rows; there bitsandbytes 0.50's own function takes the scales of other blocks.
    weight = normal(shape)
    packed, state = quantize_4bit(weight, blocksize=128, quant_type="nf4", compress_statistics=False)
    library.allow(is_allowed)
    try:
        made = ops.dequantize_4bit(packed, state, torch.empty_like(weight))
    finally:
        library.allow(True)
    assert torch.equal(made, plain.dequantize_4bit(packed, state, torch.empty_like(weight)))
    # Half of nf4's widest gap, between -1 and -0.696, times the largest number of a block.
    assert (made - weight).abs().max() <= 0.1520 * weight.abs().max()
