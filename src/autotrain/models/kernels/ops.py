"""The ops: each by its C++ kernel where that is loaded and fits the tensors, otherwise by its plain twin.

Tensors are bfloat16 or float32 on any device (kernels: the processor only), contiguous in the last dimension; rows may have
a stride.  Sums and exponentials are made in float32 and rounded once, at the end.  No gradient flows through an op: call
them inside an autograd function.  A name that ends with _ writes into its argument.
"""

import importlib

import torch
from torch import Tensor

from autotrain.models.kernels import library, native, plain
from autotrain.models.kernels.hashing import keys_of
from autotrain.models.kernels.quantized import FourBit
from autotrain.models.kernels.tiles import Heads, Tiles

_MAX_DROPPED = 2**32


def rms_norm(x: Tensor, weight: Tensor, eps: float, out_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """As LlamaRMSNorm: x / rms(x), rounded to x's type, times the weight.

    x: (N, H).  weight: (H,).  Returns (N, H) of out_dtype, and 1 / rms, (N,) float32.
    """
    kernels = library.loaded()
    if kernels and native.can_take(x, weight):
        return native.rms_norm(kernels, x, weight, eps, out_dtype)
    return plain.rms_norm(x, weight, eps, out_dtype)


def add_rms_norm(
    x: Tensor, delta: Tensor, weight: Tensor, eps: float, out_dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """x + delta, and its norm.  x, delta: (N, H).  Returns the sum (N, H) of x's type, and what rms_norm returns."""
    kernels = library.loaded()
    if kernels and native.can_take(x, delta, weight) and x.dtype == delta.dtype:
        return native.add_rms_norm(kernels, x, delta, weight, eps, out_dtype)
    return plain.add_rms_norm(x, delta, weight, eps, out_dtype)


def rms_norm_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    rstd: Tensor,
    residual_grad: Tensor | None = None,
    *,
    needs_weight: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """The gradients of rms_norm.  grad, x: (N, H).  rstd: (N,), from rms_norm.  residual_grad: (N, H), added to the first.

    Returns (N, H) of x's type, and the weight's gradient, (H,) float32, if it is needed.
    """
    kernels = library.loaded()
    like_x = x if residual_grad is None else residual_grad
    if (
        kernels
        and native.can_take(grad, x, weight, like_x)
        and x.dtype == like_x.dtype
        and native.is_plain(rstd, torch.float32)
    ):
        return native.rms_norm_backward(kernels, grad, x, weight, rstd, residual_grad, needs_weight)
    return plain.rms_norm_backward(grad, x, weight, rstd, residual_grad, needs_weight)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up.  All (N, I)."""
    kernels = library.loaded()
    if kernels and native.can_take(gate, up) and gate.dtype == up.dtype:
        return native.swiglu(kernels, gate, up)
    return plain.swiglu(gate, up)


def swiglu_backward(
    grad: Tensor, gate: Tensor, up: Tensor, out: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of gate and up, and the product silu(gate) * up once more.  All (N, I).

    out: where to write the two gradients, say the two halves of one (N, 2 I); they may be gate and up themselves.
    """
    kernels = library.loaded()
    tensors = (grad, gate, up, *(out or ()))
    if kernels and native.can_take(*tensors) and all(tensor.dtype == gate.dtype for tensor in tensors):
        return native.swiglu_backward(kernels, grad, gate, up, out)
    return plain.swiglu_backward(grad, gate, up, out)


def rope_(x: Tensor, num_heads: int, cos: Tensor, sin: Tensor, *, inverse: bool = False) -> Tensor:
    """Turn each head of x by its token's angles, as Llama does: a head's first half with its second.  Returns x.

    x: (N, num_heads * D).  cos, sin: (N, D).  inverse: the transpose, which the backward pass applies to the gradient.
    """
    kernels = library.loaded()
    if kernels and native.can_take(x, cos, sin) and cos.dtype == sin.dtype:
        return native.rope_(kernels, x, num_heads, cos, sin, inverse)
    return plain.rope_(x, num_heads, cos, sin, inverse)


def has_attention(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `attention` has a kernel for queries of this type here."""
    return native.can_take(torch.empty(1, device=device, dtype=dtype)) and library.compiled() is not None


def attention(query: Tensor, key: Tensor, value: Tensor, tiles: Tiles, heads: Heads) -> tuple[Tensor, Tensor]:
    """What each query gathers from the keys on its path: softmax(scale * q k^T) v.  Scores are never stored.

    On the processor.  query: (N, Q * D).  key: (N, K * D).  value: (N, K * E).  Returns (N, Q * E), zero for tokens in no
    block, and for the backward pass (Q, N) float32: the logarithm, to the base 2, of the sum of exponentials of the scaled
    scores.
    """
    kernels = library.compiled()
    if kernels and native.can_take(query, key, value) and query.dtype == key.dtype == value.dtype:
        return native.attention(kernels, query, key, value, tiles, heads)
    return plain.attention(query, key, value, tiles, heads)


def attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, sums: Tensor, tiles: Tiles, heads: Heads
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value.  grad: (N, Q * E).  out, sums: from `attention`."""
    kernels, tensors = library.compiled(), (grad, query, key, value, out)
    if kernels and native.can_take(*tensors) and all(tensor.dtype == query.dtype for tensor in tensors):
        return native.attention_backward(kernels, *tensors, sums, tiles, heads)
    return plain.attention_backward(*tensors, sums, tiles, heads)


def lora_shrink(wide: Tensor, matrix: Tensor, scale: float = 1.0) -> Tensor:
    """scale * wide matrix^T.  wide: (N, W).  matrix: (K, W), rounded to wide's type.  Returns (N, K) of wide's type.

    This and the next two are for a K of some tens, the ranks of adapters.  matrix lies without gaps, by rows or by columns.
    """
    kernels = library.loaded()
    if kernels and native.can_take(wide) and native.is_narrow(matrix):
        return native.lora_shrink(kernels, wide, matrix, scale)
    return plain.lora_shrink(wide, matrix, scale)


def lora_expand_(wide: Tensor, narrow: Tensor, matrix: Tensor, scale: float = 1.0) -> Tensor:
    """wide + scale * narrow matrix, written to wide.  wide: (N, W).  narrow: (N, K).  matrix: (K, W).  Returns wide."""
    kernels = library.loaded()
    if kernels and native.can_take(wide, narrow) and wide.dtype == narrow.dtype and native.is_narrow(matrix):
        return native.lora_expand_(kernels, wide, narrow, matrix, scale)
    return plain.lora_expand_(wide, narrow, matrix, scale)


def lora_backward(
    grad: Tensor, narrow: Tensor, matrix: Tensor, scale: float = 1.0, by_narrow: Tensor | None = None
) -> Tensor:
    """The gradients of scale * narrow matrix, of which grad (N, W) is that of the result.

    narrow: (N, K).  matrix: (K, W).  by_narrow: (N, K), where narrow's gradient is written, scale * grad matrix^T.  Returns
    the matrix's, scale * narrow^T grad, (K, W) float32, laid out as the matrix is.
    """
    kernels, tensors = library.loaded(), (grad, narrow, *(() if by_narrow is None else (by_narrow,)))
    is_alike = all(tensor.dtype == grad.dtype for tensor in tensors)
    if kernels and native.can_take(*tensors) and is_alike and native.is_narrow(matrix):
        return native.lora_backward(kernels, grad, narrow, matrix, scale, by_narrow)
    return plain.lora_backward(grad, narrow, matrix, scale, by_narrow)


def log_prob(logits: Tensor, target: Tensor) -> Tensor:
    """(M,) float32: log softmax(logits)[target].  logits: (M, V).  target: (M,) int64, each in 0 .. V-1."""
    kernels = library.loaded()
    if kernels and native.can_take(logits) and native.is_plain(target, torch.int64):
        return native.log_prob(kernels, logits, target)
    return plain.log_prob(logits, target)


def log_prob_and_gradient_(logits: Tensor, target: Tensor) -> Tensor:
    """As log_prob; the logits are written over with its gradient, onehot(target) - softmax(logits)."""
    kernels = library.loaded()
    if kernels and native.can_take(logits) and native.is_plain(target, torch.int64):
        return native.log_prob_and_gradient_(kernels, logits, target)
    return plain.log_prob_and_gradient_(logits, target)


def dequantize_4bit(packed: Tensor, state: FourBit, out: Tensor) -> Tensor:
    """Write a weight that bitsandbytes packed into 4 bits (nf4 or fp4) to out, (rows, columns) bfloat16 or float32.

    packed: uint8, two numbers a byte.  state: bitsandbytes' QuantState.  Returns out.  Without
    kernels bitsandbytes does it, unless rows are no multiple of a block: there its scales are those of other blocks (0.50).
    """
    kernels = library.loaded()
    if kernels and native.can_dequantize(packed, state, out):
        return native.dequantize_4bit(kernels, packed, state, out)
    if out.shape[-1] % state.blocksize != 0:
        return plain.dequantize_4bit(packed, state, out)
    theirs = importlib.import_module("bitsandbytes.functional")
    return out.copy_(theirs.dequantize_4bit(packed, state))


def dropout(x: Tensor, probability: float, seed: int, add_to: Tensor | None = None) -> Tensor:
    """x with elements set to 0 at random and the others divided by 1 - probability; the mask is never stored.

    Element i of x, counted flat, is dropped by a hash of (seed, i), the same with the kernel and without: to go backward,
    call it on the gradient with the same seed.  x: any shape, 2^32 elements at most.  add_to: the result is added to it.
    """
    if not 0 <= probability < 1 or x.numel() > _MAX_DROPPED:
        raise ValueError(f"dropout of {x.numel()} elements with probability {probability}: at most 2^32, and in [0, 1)")
    kernels, keys = library.loaded(), keys_of(seed)
    tensors = (x,) if add_to is None else (x, add_to)
    if kernels and native.can_take(*tensors) and all(map(native.is_in_rows, tensors)):
        return native.dropout(kernels, x, probability, keys, add_to)
    return plain.dropout(x, probability, keys, add_to)
