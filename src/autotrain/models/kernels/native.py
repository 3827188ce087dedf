"""Calls of the C++ kernels: the same arguments as the plain twins, after the kernels.  Documented in `ops`."""

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from autotrain.models.kernels.hashing import Keys
from autotrain.models.kernels.interface import Kernels
from autotrain.models.kernels.plain import threshold
from autotrain.models.kernels.quantized import FourBit
from autotrain.models.kernels.tiles import Heads, Tiles

_TYPE_CODES = MappingProxyType({torch.float32: 0, torch.bfloat16: 1})
# Below so many elements, waking a second thread takes longer than the work.
_ELEMENTS_WORTH_A_THREAD = 2**15
# What attention does about an element of the queries, in elements of other work.
_WORK_OF_ATTENTION = 32
# What LoRA does about an element of the wide matrix.
_WORK_OF_LORA = 4
# Ranks above this are wide enough for a library's products (benchmarks/cpp_kernels.py --threads 2 --onednn).
MOST_NARROW = 48


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


def is_narrow(matrix: Tensor) -> bool:
    """Whether LoRA's kernels take a matrix (K, W): K is small, and it lies without gaps, by rows or by columns."""
    lies_well = matrix.is_contiguous() or matrix.T.is_contiguous()
    return can_take(matrix if matrix.is_contiguous() else matrix.T) and lies_well and len(matrix) <= MOST_NARROW


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


def attention(
    kernels: Kernels, query: Tensor, key: Tensor, value: Tensor, tiles: Tiles, heads: Heads
) -> tuple[Tensor, Tensor]:
    sizes = _attention_sizes(query, key, value, heads)
    out = query.new_zeros(len(query), heads.num_queries * sizes.value_width)
    sums = torch.zeros(heads.num_queries, len(query))
    kernels["attention"](
        *(*_rows(query), *_rows(key), *_rows(value), _code(query)),
        *(*_tiles(tiles, len(query)), *sizes.told(heads), len(query)),
        *(*_rows(out), sums.data_ptr()),
        _num_threads(_WORK_OF_ATTENTION * query.numel()),
    )
    return out, sums


def attention_backward(
    kernels: Kernels,
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    sums: Tensor,
    tiles: Tiles,
    heads: Heads,
) -> tuple[Tensor, Tensor, Tensor]:
    sizes = _attention_sizes(query, key, value, heads)
    _require(torch.Size((len(query), heads.num_queries * sizes.value_width)), grad, out)
    _require(torch.Size((heads.num_queries, len(query))), sums)
    by_query = query.new_zeros(query.shape)
    by_key, by_value = (torch.zeros(tiles.num_totals, *tensor.shape) for tensor in (key, value))
    kernels["attention_backward"](
        *(*_rows(query), *_rows(key), *_rows(value), *_rows(out), *_rows(grad), _code(query)),
        *(*_tiles(tiles, len(query)), *sizes.told(heads), len(query)),
        *(sums.data_ptr(), *_rows(by_query), by_key.data_ptr(), by_value.data_ptr()),
        _num_threads(_WORK_OF_ATTENTION * query.numel()),
    )
    by_key, by_value = (total[0] if len(total) == 1 else total.sum(0) for total in (by_key, by_value))
    return by_query, by_key.to(query.dtype), by_value.to(query.dtype)


@dataclass(frozen=True)
class _AttentionSizes:
    width: int
    value_width: int

    def told(self, heads: Heads) -> tuple[int, int, int, int, float, int]:
        return heads.num_queries, heads.num_keys, self.width, self.value_width, heads.scale, heads.window or 0


def _attention_sizes(query: Tensor, key: Tensor, value: Tensor, heads: Heads) -> _AttentionSizes:
    num_tokens, width, value_width = len(query), query.shape[1] // heads.num_queries, value.shape[1] // heads.num_keys
    _require(torch.Size((num_tokens, heads.num_queries * width)), query)
    _require(torch.Size((num_tokens, heads.num_keys * width)), key)
    _require(torch.Size((num_tokens, heads.num_keys * value_width)), value)
    return _AttentionSizes(width, value_width)


def _rows(tensor: Tensor) -> tuple[int, int]:
    return tensor.data_ptr(), tensor.stride(0)


def _tiles(tiles: Tiles, num_tokens: int) -> tuple[int, int, int, int]:
    if tiles.num_tokens > num_tokens:
        raise ValueError(f"{num_tokens} tokens, and blocks of {tiles.num_tokens}")
    return tiles.paths.data_ptr(), tiles.blocks.data_ptr(), tiles.parts.data_ptr(), len(tiles.parts)


def lora_shrink(kernels: Kernels, wide: Tensor, matrix: Tensor, scale: float) -> Tensor:
    rank, width = matrix.shape
    _require(torch.Size((len(wide), width)), wide)
    narrow = wide.new_empty(len(wide), rank)
    kernels["lora_shrink"](
        *(*_rows(wide), _code(wide), *_matrix(matrix)),
        *(len(wide), width, rank, scale),
        *(*_rows(narrow), _num_threads(_WORK_OF_LORA * wide.numel())),
    )
    return narrow


def lora_expand_(kernels: Kernels, wide: Tensor, narrow: Tensor, matrix: Tensor, scale: float) -> Tensor:
    rank, width = matrix.shape
    _require(torch.Size((len(wide), width)), wide)
    _require(torch.Size((len(wide), rank)), narrow)
    kernels["lora_expand"](
        *(*_rows(wide), _code(wide), *_rows(narrow), *_matrix(matrix)),
        *(len(wide), width, rank, scale),
        _num_threads(_WORK_OF_LORA * wide.numel()),
    )
    return wide


def lora_backward(
    kernels: Kernels, grad: Tensor, narrow: Tensor, matrix: Tensor, scale: float, by_narrow: Tensor | None
) -> Tensor:
    rank, width = matrix.shape
    _require(torch.Size((len(grad), width)), grad)
    _require(torch.Size((len(grad), rank)), narrow, *(() if by_narrow is None else (by_narrow,)))
    by_matrix = torch.empty_like(matrix, dtype=torch.float32)
    place, code, is_turned = _matrix(matrix)
    kernels["lora_backward"](
        *(*_rows(grad), _code(grad), *_rows(narrow)),
        *(None if by_narrow is None else place, code, is_turned),
        *(len(grad), width, rank, scale),
        *((None, 0) if by_narrow is None else _rows(by_narrow)),
        *(by_matrix.data_ptr(), _num_threads(_WORK_OF_LORA * grad.numel())),
    )
    return by_matrix


def _matrix(matrix: Tensor) -> tuple[int, int, int]:
    """The place of a narrow matrix, its type, and whether it lies by columns."""
    return matrix.data_ptr(), _code(matrix), int(not matrix.is_contiguous())


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
