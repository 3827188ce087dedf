"""One call for all chains equals attention chain by chain.  The GPU's kernels are stood in for by a plain one.

What only a GPU can show is in tests/gpu; here: metadata, masks, gradients, dispatch, and that torch's operators take the
arguments they are given.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from autotrain.models import attention
from autotrain.models.attention import Handle, forest_attention
from autotrain.models.fast import varlen_check
from autotrain.models.fast.switch import NONE
from autotrain.models.fast.varlen import EFFICIENT, FLASH, Call, Kept, Kernel, _in_fixed_order, attend_at_once, candidate
from autotrain.models.fast.varlen_check import TEST_CHAINS, dense_mask, is_right, spelt_out
from autotrain.models.forward import Policy
from autotrain.models.layout import make_layout
from autotrain.models.precision import FP32
from autotrain.types import Batch, Span

CPU = torch.device("cpu")
FORESTS = {
    "documents": (Span(0, 6), Span(6, 1), Span(7, 9)),
    "pairs": (Span(0, 4), Span(4, 3, 0), Span(7, 5, 0), Span(12, 6), Span(18, 2, 3), Span(20, 4, 3)),
    "branches of branches": (Span(0, 4), Span(4, 3, 0), Span(7, 5, 0), Span(12, 2, 2), Span(14, 2, 2), Span(16, 3)),
}


def sequence_by_sequence(query: Tensor, key: Tensor, value: Tensor, call: Call) -> Tensor:
    """What the kernels' documentation says they compute: causal and windowed from the lower right of each sequence."""
    outputs = []
    groups = query.shape[1] // key.shape[1]
    query_starts, key_starts = call.paths.query_starts.tolist(), call.paths.key_starts.tolist()
    for index in range(len(query_starts) - 1):
        queries = query[query_starts[index] : query_starts[index + 1]].transpose(0, 1)
        keys, values = (
            tensor[key_starts[index] : key_starts[index + 1]].transpose(0, 1).repeat_interleave(groups, dim=0)
            for tensor in (key, value)
        )
        num_queries, num_keys = queries.shape[1], keys.shape[1]
        distance = torch.arange(num_keys - num_queries, num_keys)[:, None] - torch.arange(num_keys)
        seen = (distance >= 0) & (distance < (call.window or num_keys))
        scores = (queries @ keys.transpose(1, 2) * call.scale).masked_fill(~seen, float("-inf"))
        outputs.append((scores.softmax(dim=-1) @ values).transpose(0, 1))
    return torch.cat(outputs)


def _forward(query: Tensor, key: Tensor, value: Tensor, call: Call) -> tuple[Tensor, Kept]:
    return sequence_by_sequence(query, key, value, call), ()


def _backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor, kept: Kept, call: Call
) -> tuple[Tensor, Tensor, Tensor]:
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_(True) for tensor in (query, key, value)]
        by_query, by_key, by_value = torch.autograd.grad(sequence_by_sequence(*leaves, call), leaves, gradient)
    return by_query, by_key, by_value


PLAIN = Kernel("plain", _forward, _backward)


def random_heads(num_tokens: int) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(1, heads, num_tokens, 8, requires_grad=True) for heads in (4, 2, 2)]


def with_gradients(function: Callable[..., Tensor], inputs: list[Tensor]) -> list[Tensor]:
    output = function(*inputs)
    slope = torch.linspace(-1, 1, output.numel()).reshape(output.shape)
    return [output, *torch.autograd.grad(output, inputs, slope)]


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("name", FORESTS)
def test_values_and_gradients_are_those_of_attention_chain_by_chain(name: str, window: int | None):
    layout = make_layout(FORESTS[name])
    inputs, handle = random_heads(layout.num_tokens), Handle(layout, window)
    call = Call(layout.paths(CPU), 0.3, window)
    found = with_gradients(lambda q, k, v: attend_at_once(q, k, v, PLAIN, call), inputs)
    expected = with_gradients(lambda q, k, v: forest_attention(nn.Module(), q, k, v, handle, scaling=0.3)[0], inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_the_self_tests_mask_is_the_one_that_attention_follows():
    layout = make_layout(FORESTS["branches of branches"])
    inputs = random_heads(layout.num_tokens)
    for window in (None, 3):
        seen = dense_mask(layout.chains, layout.num_tokens, window)
        expected, _ = forest_attention(nn.Module(), *inputs, Handle(layout, window), scaling=0.3)
        torch.testing.assert_close(spelt_out(*inputs, seen, 0.3), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("has_window", [False, True])
def test_the_self_test_lets_a_right_kernel_pass(has_window: bool):
    assert is_right(PLAIN, CPU, torch.float32, 16, 2, has_window)


def _from_upper_left(query: Tensor, key: Tensor, value: Tensor, call: Call) -> tuple[Tensor, Kept]:
    """Causality counted from the first key, as other kernels have it: a branch sees the wrong part of its prompt."""
    moved = replace(call, paths=replace(call.paths, key_starts=call.paths.query_starts))
    return sequence_by_sequence(query, key, value, moved), ()


def _wrong_backward(*arguments: object) -> tuple[Tensor, Tensor, Tensor]:
    by_query, by_key, by_value = _backward(*arguments)  # type: ignore[arg-type]
    return by_query, by_key * 1.1, by_value


def _refused(*_: object) -> tuple[Tensor, Kept]:
    raise RuntimeError("no kernel found to launch")


@pytest.mark.parametrize(
    "kernel",
    [
        Kernel("upper left", _from_upper_left, _backward),
        Kernel("wrong gradients", _forward, _wrong_backward),
        Kernel("refused", _refused, _backward),
    ],
    ids=lambda kernel: kernel.name,
)
def test_the_self_test_finds_a_wrong_kernel(kernel: Kernel):
    assert not is_right(kernel, CPU, torch.float32, 16, 2, False)


def test_lack_of_memory_in_the_self_test_is_no_verdict():
    def full(*_: object) -> tuple[Tensor, Kept]:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        is_right(Kernel("full", full, _backward), CPU, torch.float32, 16, 2, False)


def test_a_processor_and_strange_types_have_no_kernel():
    assert candidate(CPU, torch.bfloat16, 64) is None
    assert candidate(torch.device("meta"), torch.float64, 64) is None


class RecordedBackward(TorchDispatchMode):
    """Lets torch check the arguments of the memory-efficient backward pass, and answers in its place.

    torch 2.13's own function for shapes takes other arguments than the operator does.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._efficient_attention_backward.default:
            names = [argument.name for argument in func._schema.arguments]
            self.arguments = {**dict(zip(names, args, strict=False)), **(kwargs or {})}
            return (*(torch.empty_like(tensor) for tensor in args[1:4]), torch.empty(0))
        return func(*args, **(kwargs or {}))


def on_meta_device(dtype: torch.dtype, window: int | None) -> tuple[list[Tensor], Tensor, Call]:
    """Shapes only: (N, Q, D), (P, K, D), (P, K, D), the output's gradient."""
    layout = make_layout(FORESTS["pairs"])
    paths = layout.paths(torch.device("meta"))
    num_keys = paths.branches.tokens.shape[0] if paths.branches else layout.num_tokens
    shapes = [(layout.num_tokens, 8, 64), (num_keys, 2, 64), (num_keys, 2, 64)]
    tensors = [torch.empty(shape, dtype=dtype, device="meta") for shape in shapes]
    return tensors, torch.empty(shapes[0], dtype=dtype, device="meta"), Call(paths, 0.125, window)


@pytest.mark.parametrize("window", [None, 5])
def test_torchs_flash_operators_take_our_arguments(window: int | None):
    """Without a GPU: torch checks arguments on its meta device."""
    inputs, slope, call = on_meta_device(torch.bfloat16, window)
    output, kept = FLASH.forward(*inputs, call)
    assert output.shape == inputs[0].shape and output.dtype == torch.bfloat16
    assert len(FLASH.backward(slope, *inputs, output, kept, call)) == 3


@pytest.mark.parametrize("window", [None, 5])
def test_torchs_memory_efficient_operators_take_our_arguments(window: int | None):
    inputs, slope, call = on_meta_device(torch.float32, window)
    output, kept = EFFICIENT.forward(*inputs, call)
    assert output.shape == inputs[0].shape
    with RecordedBackward() as recorded:
        gradients = EFFICIENT.backward(slope, *inputs, output, kept, call)
    assert [gradient.shape for gradient in gradients] == [tensor.shape for tensor in inputs]
    given = recorded.arguments
    assert (given["max_seqlen_q"], given["max_seqlen_k"], given.get("window_size")) == (8, 10, window)
    assert given["num_splits_key"] == 1 and given["custom_mask_type"] == 2 and given["bias"] is None
    assert given["out"].shape == given["query"].shape == given["grad_out_"].shape
    assert given["cu_seqlens_q"].dtype == torch.int32 and given["logsumexp"].shape == (4, 8, 32)


def test_windows_with_branches_are_not_for_the_memory_efficient_kernel(monkeypatch: pytest.MonkeyPatch):
    """Its backward pass counts a window from the upper left."""
    monkeypatch.setattr(varlen_check, "candidate", lambda *_: replace(PLAIN, windows_with_branches=False))
    inputs = random_heads(8)
    choose = varlen_check.choose_kernel
    assert choose(*inputs, window=None, has_branches=True) is not None
    assert choose(*inputs, window=3, has_branches=False) is not None
    assert choose(*inputs, window=3, has_branches=True) is None


def test_values_of_another_width_than_keys_are_left_to_the_plain_way(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(varlen_check, "candidate", lambda *_: PLAIN)
    query, key, value = random_heads(8)
    assert varlen_check.choose_kernel(query, key, value[..., :4], window=None, has_branches=False) is None


@pytest.fixture
def plain_kernel_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every layer takes the way that it would take on a GPU, with the plain kernel in the place of the GPU's."""
    monkeypatch.setattr(attention, "can_attend", lambda *_: False)
    monkeypatch.setattr(varlen_check, "candidate", lambda *_: PLAIN)


@pytest.mark.parametrize("window", [None, 3])
def test_attention_takes_the_way_of_a_gpu_where_the_layout_allows_it(plain_kernel_everywhere: None, window: int | None):
    layout = make_layout(FORESTS["pairs"])
    inputs = random_heads(layout.num_tokens)
    ways = {}
    for fast in (True, False):
        handle = Handle(replace(layout, fast=fast), window)
        ways[fast] = with_gradients(lambda q, k, v: forest_attention(nn.Module(), q, k, v, handle)[0], inputs)  # noqa: B023
    for one, other in zip(ways[True], ways[False], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_autocast_decides_the_type_as_it_does_for_torchs_attention(plain_kernel_everywhere: None):
    """Under autocast queries may be float32 beside bfloat16 values."""
    layout = replace(make_layout(FORESTS["pairs"]), fast=True)
    query, key, value = random_heads(layout.num_tokens)
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = forest_attention(nn.Module(), query, key, value.bfloat16(), Handle(layout, None))
    assert output.dtype == torch.bfloat16


def test_the_switch_for_a_fixed_order_comes_back_even_after_a_failure():
    with pytest.raises(KeyError), _in_fixed_order():
        assert torch.are_deterministic_algorithms_enabled()
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_the_test_forest_has_branches_documents_and_a_single_token():
    assert {bool(chain.prefix) for chain in TEST_CHAINS} == {True, False}
    assert min(chain.length for chain in TEST_CHAINS) == 1


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_model_gives_the_same_loss_and_gradients_the_gpus_way(
    plain_kernel_everywhere: None, tiny_llama: Callable[..., nn.Module], documents: Callable[..., Batch], checkpointed: bool
):
    """Documents and a pair in one batch; layers may be computed again in the backward pass."""
    batch = replace(documents(9, 14, 7), spans=(Span(0, 9), Span(9, 8), Span(17, 6, 1), Span(23, 7, 1)))
    batch.position_ids[23:] = torch.arange(8, 15)
    found = {}
    for fast in (NONE, replace(NONE, attention=True)):
        policy = Policy(tiny_llama(), FP32, fast=fast).train()
        policy.set_gradient_checkpointing(checkpointed)
        assert policy.layout_of(batch).fast == fast.attention
        loss = -policy(batch).per_token.mean()
        loss.backward()
        found[fast.attention] = [loss.detach(), *(parameter.grad for parameter in policy.parameters())]
    for one, other in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
