"""The GPU's kernels, one call for all chains, against attention chain by chain."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from autotrain.models.attention import Handle, forest_attention
from autotrain.models.fast.varlen import EFFICIENT, FLASH, candidate
from autotrain.models.fast.varlen_check import choose_kernel, is_right
from autotrain.models.layout import make_layout
from autotrain.types import Span

pytestmark = pytest.mark.gpu

FORESTS = {
    "documents": (Span(0, 300), Span(300, 1), Span(301, 129), Span(430, 64)),
    "pairs": (Span(0, 150), Span(150, 33, 0), Span(183, 70, 0), Span(253, 20), Span(273, 200, 3), Span(473, 7, 3)),
    "branches of branches": (
        Span(0, 40),
        Span(40, 30, 0),
        Span(70, 90, 0),
        Span(160, 20, 2),
        Span(180, 70, 2),
        Span(250, 9),
    ),
}
TOLERANCE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 4e-2}


def heads_of(device: torch.device, dtype: torch.dtype, num_tokens: int, head_size: int = 64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, num_tokens, head_size) for heads in (8, 2, 2)]
    return [torch.randn(shape, generator=generator).to(device, dtype).requires_grad_(True) for shape in shapes]


def run(inputs: list[Tensor], handle: Handle) -> list[Tensor]:
    output, _ = forest_attention(nn.Module(), *inputs, handle)
    slope = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    return [output.detach(), *torch.autograd.grad(output, inputs, slope)]


@pytest.mark.parametrize("window", [None, 50])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", FORESTS)
def test_values_and_gradients_are_those_of_attention_chain_by_chain(
    device: torch.device, name: str, dtype: torch.dtype, window: int | None
):
    """Both against float32, so that the plain way's rounding isn't held against the fast one."""
    layout = make_layout(FORESTS[name])
    inputs = heads_of(device, dtype, layout.num_tokens)
    wide = [tensor.detach().float().requires_grad_(True) for tensor in inputs]
    expected = run(wide, Handle(replace(layout, fast=False), window))
    found = run(inputs, Handle(replace(layout, fast=True), window))
    for one, other in zip(found, expected, strict=True):
        assert float((one.float() - other).abs().max() / other.abs().max()) < TOLERANCE[dtype]


@pytest.mark.parametrize("has_window", [False, True])
@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("head_size", [32, 64, 80, 128])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_the_kernels_pass_their_self_test(
    device: torch.device, dtype: torch.dtype, head_size: int, groups: int, has_window: bool
):
    """A kernel that doesn't is left out, and this test says so."""
    kernel = candidate(device, dtype, head_size)
    assert kernel is not None
    assert is_right(kernel, device, dtype, head_size, groups, has_window)


def test_sixteen_bits_take_the_flash_kernel_and_float32_the_other(device: torch.device):
    is_new = torch.cuda.get_device_capability(device) >= (8, 0)
    sixteen = [tensor.detach() for tensor in heads_of(device, torch.float16, 64)]
    assert choose_kernel(*sixteen, window=None, has_branches=True) is (FLASH if is_new else EFFICIENT)
    thirty_two = [tensor.detach() for tensor in heads_of(device, torch.float32, 64)]
    assert choose_kernel(*thirty_two, window=None, has_branches=True) is EFFICIENT
    assert choose_kernel(*thirty_two, window=9, has_branches=True) is None


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_the_same_inputs_give_the_same_gradients_bit_for_bit(device: torch.device, dtype: torch.dtype):
    """Without this a resumed run would not be the run that was interrupted."""
    layout = replace(make_layout((*FORESTS["pairs"], Span(480, 3000))), fast=True)
    inputs = heads_of(device, dtype, layout.num_tokens)
    first = run(inputs, Handle(layout, None))
    for _ in range(5):
        assert all(one.equal(other) for one, other in zip(run(inputs, Handle(layout, None)), first, strict=True))
    assert not torch.are_deterministic_algorithms_enabled()
