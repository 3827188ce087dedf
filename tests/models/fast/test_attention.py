"""Attention by blocks equals attention chain by chain: values and gradients."""

import pytest
import torch
from torch import Tensor

from autotrain.models.attention import Handle, forest_attention
from autotrain.models.fast.attention import Heads, attend, can_attend
from autotrain.models.layout import Layout, make_layout
from autotrain.types import Span

DOCUMENTS = (Span(0, 5), Span(5, 200), Span(205, 1))
LONG = (Span(0, 700), Span(700, 90, 0), Span(790, 3, 0), Span(793, 64))
PAIRS = (Span(0, 90), Span(90, 30, 0), Span(120, 80, 0), Span(200, 6))


def run(spans: tuple[Span, ...], window: int | None, *, fast: bool, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """The output, and the gradients of query, key and value."""
    made = make_layout(spans)
    layout = Layout(made.chains, made.num_tokens, fast=fast)
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, 6, layout.num_tokens, 16), (1, 2, layout.num_tokens, 16), (1, 2, layout.num_tokens, 16))
    inputs = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    output, _ = forest_attention(torch.nn.Identity(), *inputs, Handle(layout, window))
    output.backward(torch.randn(output.shape, generator=generator).to(dtype))
    return [output.detach(), *(tensor.grad for tensor in inputs)]


@pytest.mark.parametrize("window", [None, 1, 7, 64])
@pytest.mark.parametrize("spans", [DOCUMENTS, PAIRS, LONG], ids=["documents", "pairs", "long"])
def test_blocks_give_what_chains_give(spans: tuple[Span, ...], window: int | None):
    for fast, plain in zip(run(spans, window, fast=True), run(spans, window, fast=False), strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("spans", [DOCUMENTS, PAIRS], ids=["documents", "pairs"])
def test_in_bf16_they_differ_by_its_rounding(spans: tuple[Span, ...]):
    exact = run(spans, None, fast=False)
    for value, expected in zip(run(spans, None, fast=True, dtype=torch.bfloat16), exact, strict=True):
        assert (value.float() - expected).norm() <= 0.01 * expected.norm()


def test_a_layout_of_more_tokens_is_refused():
    query, key = torch.zeros(205, 96), torch.zeros(205, 32)
    with pytest.raises(ValueError, match="205 tokens, and a layout of 206"):
        attend(query, key, key, make_layout(DOCUMENTS), Heads(6, 2, 1.0))


def test_other_types_are_left_to_torch():
    assert not can_attend(torch.zeros(1, dtype=torch.float64)) and not can_attend(torch.zeros(1, dtype=torch.float16))
