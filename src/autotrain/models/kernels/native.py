"""Calls of the C++ kernels: the same arguments as the plain twins, after the kernels.  Documented in `ops`."""

from types import MappingProxyType

import torch
from torch import Tensor

from autotrain.models.kernels.hashing import Keys
from autotrain.models.kernels.interface import Kernels
from autotrain.models.kernels.plain import threshold
from autotrain.models.kernels.quantized import FourBit

_TYPE_CODES = MappingProxyType({torch.float32: 0, torch.bfloat16: 1})
# Below so many elements, waking a second thread takes longer than the work.
_ELEMENTS_WORTH_A_THREAD = 2**15


def can_take(*tensors: Tensor) -> bool:
    """Whether the kernels read such tensors: on the processor, of a type they know, contiguous in the last dimension."""
    return all(
        tensor.is_cpu
        and tensor.dtype in _TYPE_CODES
        and tensor.dim() > 0
        and (tensor.stride(-1) == 1 or tensor.shape[-1] == 1)
        for tensor in tensors
    )


def is_plain(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Whether it lies on the processor without gaps, in exactly this type."""
    return tensor.is_cpu and tensor.dtype == dtype and tensor.is_contiguous()


def can_dequantize(packed: Tensor, state: FourBit, out: Tensor) -> bool:
    """Whether the packed numbers, their scales and the place for the result are laid out as the kernel reads them."""
    outer = state.state2
    scales = (
        [(state.absmax, torch.float32)]
        if outer is None
        else [(state.absmax, torch.uint8), (outer.absmax, torch.float32), (outer.code, torch.float32)]
    )
    parts = [(packed, torch.uint8), (state.code, torch.float32), *scales]
    return can_take(out) and out.is_contiguous() and out.numel() % 2 == 0 and all(is_plain(*part) for part in parts)


def is_in_rows(tensor: Tensor) -> bool:
    """Whether all dimensions but the last one are walked with a single stride."""
    return tensor.dim() <= 2 or tensor.is_contiguous()


def _require(shape: torch.Size, *tensors: Tensor) -> None:
    """A kernel would read past the end.  Raises ValueError."""
    for tensor in tensors:
        if tensor.shape != shape:
            raise ValueError(f"a tensor of shape {tuple(tensor.shape)} where {tuple(shape)} is needed")


def _num_threads(num_elements: int) -> int:
    return max(1, min(torch.get_num_threads(), num_elements // _ELEMENTS_WORTH_A_THREAD))


def _code(tensor: Tensor) -> int:
    return _TYPE_CODES[tensor.dtype]


def rms_norm(kernels: Kernels, x: Tensor, weight: Tensor, eps: float, out_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    _, y, rstd = _norm(kernels, x, None, weight, eps, out_dtype)
    return y, rstd


def add_rms_norm(
    kernels: Kernels, x: Tensor, delta: Tensor, weight: Tensor, eps: float, out_dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    return _norm(kernels, x, delta, weight, eps, out_dtype)


def _norm(
    kernels: Kernels, x: Tensor, delta: Tensor | None, weight: Tensor, eps: float, out_dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    num_rows, width = x.shape
    _require(x.shape[1:], weight)
    total = x
    if delta is not None:
        _require(x.shape, delta)
        total = x.new_empty(x.shape)
    y, rstd = x.new_empty(x.shape, dtype=out_dtype), x.new_empty(num_rows, dtype=torch.float32)
    kernels["rms_norm"](
        *(x.data_ptr(), x.stride(0)),
        *((None, 0, None) if delta is None else (delta.data_ptr(), delta.stride(0), total.data_ptr())),
        _code(x),
        *(weight.data_ptr(), _code(weight)),
        eps,
        *(num_rows, width),
        *(y.data_ptr(), _code(y)),
        rstd.data_ptr(),
        _num_threads(x.numel()),
    )
    return total, y, rstd


def rms_norm_backward(
    kernels: Kernels,
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    rstd: Tensor,
    residual_grad: Tensor | None,
    needs_weight: bool,
) -> tuple[Tensor, Tensor | None]:
    num_rows, width = x.shape
    _require(x.shape, grad)
    _require(x.shape[1:], weight)
    _require(x.shape[:1], rstd)
    if residual_grad is not None:
        _require(x.shape, residual_grad)
    grad_x = x.new_empty(x.shape)
    grad_weight = x.new_empty(width, dtype=torch.float32) if needs_weight else None
    kernels["rms_norm_backward"](
        *(grad.data_ptr(), grad.stride(0), _code(grad)),
        *(x.data_ptr(), x.stride(0), _code(x)),
        *(weight.data_ptr(), _code(weight)),
        rstd.data_ptr(),
        *((None, 0) if residual_grad is None else (residual_grad.data_ptr(), residual_grad.stride(0))),
        *(num_rows, width),
        grad_x.data_ptr(),
        None if grad_weight is None else grad_weight.data_ptr(),
        _num_threads(x.numel()),
    )
    return grad_x, grad_weight


def swiglu(kernels: Kernels, gate: Tensor, up: Tensor) -> Tensor:
    _require(gate.shape, up)
    product = gate.new_empty(gate.shape)
    kernels["swiglu"](
        *(gate.data_ptr(), gate.stride(0)),
        *(up.data_ptr(), up.stride(0)),
        _code(gate),
        *gate.shape,
        product.data_ptr(),
        _num_threads(gate.numel()),
    )
    return product


def swiglu_backward(
    kernels: Kernels, grad: Tensor, gate: Tensor, up: Tensor, out: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    grad_gate, grad_up = (gate.new_empty(gate.shape), gate.new_empty(gate.shape)) if out is None else out
    _require(gate.shape, up, grad, grad_gate, grad_up)
    product = gate.new_empty(gate.shape)
    kernels["swiglu_backward"](
        *(grad.data_ptr(), grad.stride(0)),
        *(gate.data_ptr(), gate.stride(0)),
        *(up.data_ptr(), up.stride(0)),
        _code(gate),
        *gate.shape,
        *(grad_gate.data_ptr(), grad_gate.stride(0)),
        *(grad_up.data_ptr(), grad_up.stride(0)),
        product.data_ptr(),
        _num_threads(gate.numel()),
    )
    return grad_gate, grad_up, product


def rope_(kernels: Kernels, x: Tensor, num_heads: int, cos: Tensor, sin: Tensor, inverse: bool) -> Tensor:
    num_rows, width = x.shape[0], x.shape[1] // (2 * num_heads) * 2
    _require(torch.Size((num_rows, num_heads * width)), x)
    _require(torch.Size((num_rows, width)), cos, sin)
    kernels["rope"](
        *(x.data_ptr(), x.stride(0), _code(x)),
        *(cos.data_ptr(), cos.stride(0)),
        *(sin.data_ptr(), sin.stride(0), _code(sin)),
        *(num_rows, num_heads, width),
        int(inverse),
        _num_threads(x.numel()),
    )
    return x


def causal_softmax_(
    kernels: Kernels, scores: Tensor, scale: float, offsets: Tensor, lengths: Tensor, window: int | None
) -> Tensor:
    _require(scores.shape[:1], offsets, lengths)
    kernels["causal_softmax"](
        *(scores.data_ptr(), _code(scores)),
        *(offsets.data_ptr(), lengths.data_ptr()),
        *scores.shape,
        *(scale, window or 0),
        _num_threads(scores.numel()),
    )
    return scores


def causal_softmax_backward_(
    kernels: Kernels,
    probabilities: Tensor,
    grad: Tensor,
    scale: float,
    offsets: Tensor,
    lengths: Tensor,
    window: int | None,
) -> Tensor:
    _require(grad.shape, probabilities)
    _require(grad.shape[:1], offsets, lengths)
    kernels["causal_softmax_backward"](
        *(probabilities.data_ptr(), _code(probabilities)),
        *(grad.data_ptr(), _code(grad)),
        *(offsets.data_ptr(), lengths.data_ptr()),
        *grad.shape,
        *(scale, window or 0),
        _num_threads(grad.numel()),
    )
    return grad


def gather_rows(kernels: Kernels, x: Tensor, rows: Tensor, num_heads: int) -> Tensor:
    num_blocks, length = rows.shape
    width = x.shape[1] // num_heads
    out = x.new_empty(num_blocks, num_heads, length, width)
    kernels["gather_rows"](
        *(x.data_ptr(), x.stride(0), _code(x)),
        rows.data_ptr(),
        *(num_blocks, length, num_heads, width),
        out.data_ptr(),
        _num_threads(out.numel()),
    )
    return out


def scatter_rows_(kernels: Kernels, packed: Tensor, rows: Tensor, out: Tensor) -> Tensor:
    _rows_to(kernels, "scatter_rows", packed, rows, out)
    return out


def add_rows_(kernels: Kernels, packed: Tensor, rows: Tensor, out: Tensor) -> Tensor:
    _rows_to(kernels, "add_rows", packed, rows, out)
    return out


def _rows_to(kernels: Kernels, name: str, packed: Tensor, rows: Tensor, out: Tensor) -> None:
    num_blocks, num_heads, length, width = packed.shape
    _require(torch.Size((num_blocks, length)), rows)
    _require(torch.Size((len(out), num_heads * width)), out)
    kernels[name](
        *(packed.data_ptr(), _code(packed)),
        rows.data_ptr(),
        *(num_blocks, length, num_heads, width),
        *(out.data_ptr(), out.stride(0)),
        _num_threads(packed.numel()),
    )


def log_prob(kernels: Kernels, logits: Tensor, target: Tensor) -> Tensor:
    return _log_prob(kernels, logits, target, writes=False)


def log_prob_and_gradient_(kernels: Kernels, logits: Tensor, target: Tensor) -> Tensor:
    return _log_prob(kernels, logits, target, writes=True)


def _log_prob(kernels: Kernels, logits: Tensor, target: Tensor, *, writes: bool) -> Tensor:
    num_rows, width = logits.shape
    _require(logits.shape[:1], target)
    result = logits.new_empty(num_rows, dtype=torch.float32)
    kernels["log_prob"](
        *(logits.data_ptr(), logits.stride(0), _code(logits)),
        target.data_ptr(),
        *(num_rows, width),
        int(writes),
        result.data_ptr(),
        _num_threads(logits.numel()),
    )
    return result


def dequantize_4bit(kernels: Kernels, packed: Tensor, state: FourBit, out: Tensor) -> Tensor:
    count = out.numel()
    num_blocks = -(-count // state.blocksize)
    _require(torch.Size((count // 2,)), packed.view(-1))
    _require(torch.Size((num_blocks,)), state.absmax)
    outer = state.state2
    if outer is None:
        scales, nested, offset = state.absmax.data_ptr(), (None, None, None, 1), 0.0
    else:
        _require(torch.Size((-(-num_blocks // outer.blocksize),)), outer.absmax)
        assert state.offset is not None
        scales, offset = None, state.offset.item()
        nested = (state.absmax.data_ptr(), outer.code.data_ptr(), outer.absmax.data_ptr(), outer.blocksize)
    kernels["dequantize_4bit"](
        *(packed.data_ptr(), count, state.blocksize),
        *(state.code.data_ptr(), scales),
        *nested,
        offset,
        *(out.data_ptr(), _code(out)),
        _num_threads(count),
    )
    return out


def dropout(kernels: Kernels, x: Tensor, probability: float, keys: Keys, add_to: Tensor | None) -> Tensor:
    out = x.new_empty(x.shape) if add_to is None else add_to
    _require(x.shape, out)
    in_one_row = x.is_contiguous() and out.is_contiguous()
    num_rows, width = (1, x.numel()) if in_one_row else (x.numel() // x.shape[-1], x.shape[-1])
    kernels["dropout"](
        *(x.data_ptr(), 0 if in_one_row else x.stride(-2), _code(x)),
        *(num_rows, width),
        *(threshold(probability), 1 / (1 - probability)),
        *keys,
        *(out.data_ptr(), 0 if in_one_row else out.stride(-2), _code(out)),
        int(add_to is not None),
        _num_threads(x.numel()),
    )
    return out
