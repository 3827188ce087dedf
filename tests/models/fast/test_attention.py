"""Attention by the kernel equals attention chain by chain: values and gradients."""

import pytest
import torch
from torch import Tensor

from autotrain.models.attention import Handle, forest_attention
from autotrain.models.fast.attention import attend, can_attend
from autotrain.models.kernels import library
from autotrain.models.kernels.tiles import Heads
from autotrain.models.layout import Layout, make_layout
from autotrain.types import Span

DOCUMENTS = (Span(0, 5), Span(5, 200), Span(205, 1))
LONG = (Span(0, 700), Span(700, 90, 0), Span(790, 3, 0), Span(793, 64))
PAIRS = (Span(0, 90), Span(90, 30, 0), Span(120, 80, 0), Span(200, 6))
IN_PARTS = (Span(0, 2500),)


@pytest.fixture(autouse=True)
def _needs_a_kernel() -> None:
    if library.compiled() is None:
        pytest.skip(reason="there is no C++ compiler here")


def run(
    spans: tuple[Span, ...],
    window: int | None,
    *,
    fast: bool,
    dtype: torch.dtype = torch.float32,
    sizes: tuple[int, int] = (16, 16),
    heads: tuple[int, int] = (6, 2),
) -> list[Tensor]:
    """The output, and the gradients of query, key and value.  sizes: of a head of keys, and of values."""
    made = make_layout(spans)
    layout = Layout(made.chains, made.num_tokens, fast=fast)
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads[0], layout.num_tokens, sizes[0]), *((1, heads[1], layout.num_tokens, size) for size in sizes)]
    inputs = [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]
    output, _ = forest_attention(torch.nn.Identity(), *inputs, Handle(layout, window))
    output.backward(torch.randn(output.shape, generator=generator).to(dtype))
    return [output.detach(), *(tensor.grad for tensor in inputs)]


@pytest.mark.parametrize("window", [None, 1, 7, 64, 100])
@pytest.mark.parametrize("spans", [DOCUMENTS, PAIRS, LONG], ids=["documents", "pairs", "long"])
def test_the_kernel_gives_what_chains_give(spans: tuple[Span, ...], window: int | None):
    for fast, plain in zip(run(spans, window, fast=True), run(spans, window, fast=False), strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("heads", [(1, 1), (6, 6), (8, 1), (9, 3)])
@pytest.mark.parametrize("sizes", [(8, 8), (20, 20), (64, 64), (80, 80), (128, 128), (24, 40), (1, 3)])
def test_heads_of_any_number_and_size(heads: tuple[int, int], sizes: tuple[int, int]):
    fast, plain = (run(PAIRS, None, fast=is_fast, sizes=sizes, heads=heads) for is_fast in (True, False))
    for value, expected in zip(fast, plain, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("window", [None, 300])
def test_a_text_that_several_threads_share(window: int | None):
    assert make_layout(IN_PARTS).tiles(window, 2).num_totals > 1
    for fast, plain in zip(run(IN_PARTS, window, fast=True), run(IN_PARTS, window, fast=False), strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("spans", [DOCUMENTS, PAIRS, LONG, IN_PARTS], ids=["documents", "pairs", "long", "in parts"])
def test_in_bf16_they_differ_by_its_rounding(spans: tuple[Span, ...]):
    exact = run(spans, None, fast=False)
    mine, theirs = (run(spans, None, fast=is_fast, dtype=torch.bfloat16) for is_fast in (True, False))
    for value, other, expected in zip(mine, theirs, exact, strict=True):
        error, other_error = ((one.float() - expected).norm() / expected.norm() for one in (value, other))
        assert error <= 0.006
        assert error <= 1.2 * other_error, "torch's own is nearer"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_number_of_threads_gives_the_same_bits(dtype: torch.dtype):
    before = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2, 5):
            torch.set_num_threads(number)
            results.append(run((*LONG, Span(857, 1800)), None, fast=True, dtype=dtype))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for result in results for one, other in zip(result, results[0], strict=True))


def test_large_scores_are_no_trouble():
    layout, heads = make_layout(DOCUMENTS), Heads(1, 1, 1.0)
    query, value = 40 * torch.randn(206, 16), torch.randn(206, 16)
    output, _ = attend(query, query, value, layout, heads)  # scores of thousands: each sees itself, or what is longer
    assert output.isfinite().all() and output.abs().max() <= value.abs().max() + 1e-5


def test_what_isnt_a_number_stays_in_its_text():
    query = torch.randn(206, 16)
    query[100] = float("nan")
    output, _ = attend(query, query, query, make_layout(DOCUMENTS), Heads(1, 1, 1.0))
    assert output[:69].isfinite().all() and output[205].isfinite().all()
    assert output[100:205].isnan().all()


def test_tokens_that_the_layout_doesnt_name_are_zero():
    query = torch.randn(256, 16)
    output, _ = attend(query, query, query, make_layout(DOCUMENTS), Heads(1, 1, 1.0))
    assert output[:206].all() and not output[206:].any()


def test_a_layout_of_more_tokens_is_refused():
    query, key = torch.zeros(205, 96), torch.zeros(205, 32)
    with pytest.raises(ValueError, match="205 tokens, and a layout of 206"):
        attend(query, key, key, make_layout(DOCUMENTS), Heads(6, 2, 1.0))


def test_other_types_and_heads_are_left_to_torch():
    query = torch.zeros(1, 6, 3, 8)
    assert can_attend(query, 2, 1.0) and can_attend(query.bfloat16(), 2, 1.0)
    assert not can_attend(query.double(), 2, 1.0) and not can_attend(query.half(), 2, 1.0)
    assert not can_attend(query, 4, 1.0) and not can_attend(query, 2, -1.0)


def test_autocast_decides_the_type_as_it_does_for_torchs_attention():
    """Queries and keys come out of a rotation in float32, values out of a product in bfloat16."""
    layout = Layout(make_layout(PAIRS).chains, 206, fast=True)
    query, key, value = (torch.randn(1, number, 206, 16, requires_grad=True) for number in (6, 2, 2))
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = forest_attention(torch.nn.Identity(), query, key, value.bfloat16(), Handle(layout, None))
    assert output.dtype == torch.bfloat16
    output.sum().backward()
    assert all(tensor.grad is not None and tensor.grad.dtype == torch.float32 for tensor in (query, key, value))


@pytest.mark.parametrize(
    ("told", "message"),
    [((6, 4, 1.0), "can't share"), ((6, 2, 0.0), "must be positive"), ((6, 2, 1.0, 0), "must be positive")],
)
def test_heads_that_cant_be_are_refused(told, message: str):
    with pytest.raises(ValueError, match=message):
        Heads(*told)
