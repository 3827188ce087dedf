"""The plain twins of the kernels, in torch: they define what each op computes.  Documented in `ops`."""

import torch
from torch import Tensor
from torch.nn import functional

from autotrain.models.kernels.hashing import Keys, hashed
from autotrain.models.kernels.quantized import FourBit

# The probability of dropout is rounded to a multiple of 1 / 65536.
_LEVELS = 2**16


def rms_norm(x: Tensor, weight: Tensor, eps: float, out_dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    wide = x.float()
    rstd = torch.rsqrt(wide.square().mean(-1) + eps)  # (N,)
    normed = (wide * rstd[:, None]).to(x.dtype)  # rounded before the weight, as in transformers
    return (weight.float() * normed.float()).to(out_dtype), rstd


def add_rms_norm(
    x: Tensor, delta: Tensor, weight: Tensor, eps: float, out_dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    total = (x.float() + delta.float()).to(x.dtype)
    return total, *rms_norm(total, weight, eps, out_dtype)


def rms_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, rstd: Tensor, residual_grad: Tensor | None, needs_weight: bool
) -> tuple[Tensor, Tensor | None]:
    normed = x.float() * rstd[:, None]
    wide = grad.float()
    weighted = wide * weight.float()
    grad_x = rstd[:, None] * (weighted - normed * (weighted * normed).mean(-1, keepdim=True))
    if residual_grad is not None:
        grad_x = grad_x + residual_grad.float()
    grad_weight = (wide * normed.to(x.dtype).float()).sum(0) if needs_weight else None
    return grad_x.to(x.dtype), grad_weight


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    return (functional.silu(gate.float()) * up.float()).to(gate.dtype)


def swiglu_backward(
    grad: Tensor, gate: Tensor, up: Tensor, out: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor]:
    wide_grad, wide_gate, wide_up = grad.float(), gate.float(), up.float()
    silu = functional.silu(wide_gate)
    grad_gate = torch.ops.aten.silu_backward(wide_grad * wide_up, wide_gate)
    grad_up = wide_grad * silu
    product = (silu * wide_up).to(gate.dtype)
    if out is None:
        return grad_gate.to(gate.dtype), grad_up.to(gate.dtype), product
    return out[0].copy_(grad_gate), out[1].copy_(grad_up), product


def rope_(x: Tensor, num_heads: int, cos: Tensor, sin: Tensor, inverse: bool) -> Tensor:
    heads = x.unflatten(-1, (num_heads, -1))  # (N, heads, D)
    first, second = heads.float().chunk(2, dim=-1)
    cos_first, cos_second = cos.float()[:, None].chunk(2, dim=-1)
    sin_first, sin_second = sin.float()[:, None].chunk(2, dim=-1)
    if inverse:
        turned = first * cos_first + second * sin_second, second * cos_second - first * sin_first
    else:
        turned = first * cos_first - second * sin_first, second * cos_second + first * sin_second
    heads.copy_(torch.cat(turned, dim=-1))
    return x


def causal_softmax_(scores: Tensor, scale: float, offsets: Tensor, lengths: Tensor, window: int | None) -> Tensor:
    seen = visible(scores, offsets, lengths, window)
    probabilities = (scores.float() * scale).masked_fill(~seen, float("-inf")).softmax(-1)
    # A row that sees nothing is zero.
    return scores.copy_(probabilities.masked_fill(~seen, 0))


def causal_softmax_backward_(
    probabilities: Tensor, grad: Tensor, scale: float, offsets: Tensor, lengths: Tensor, window: int | None
) -> Tensor:
    seen = visible(grad, offsets, lengths, window)
    wide, wide_grad = probabilities.float(), grad.float()
    delta = (wide * wide_grad).masked_fill(~seen, 0).sum(-1, keepdim=True)
    return grad.copy_((scale * wide * (wide_grad - delta)).masked_fill(~seen, 0))


def visible(scores: Tensor, offsets: Tensor, lengths: Tensor, window: int | None) -> Tensor:
    """(B, 1, L, C) bool: query i sees the keys up to its block's offset + i, and of them the last `window`."""
    num_queries, num_keys = scores.shape[-2:]
    queries = torch.arange(num_queries, device=scores.device)
    distance = (offsets[:, None] + queries)[..., None] - torch.arange(num_keys, device=scores.device)  # (B, L, C)
    seen = (distance >= 0) & (queries < lengths[:, None])[..., None]
    return (seen if window is None else seen & (distance < window))[:, None]


def gather_rows(x: Tensor, rows: Tensor, num_heads: int) -> Tensor:
    taken = x[rows.clamp(min=0).long()].masked_fill((rows < 0)[..., None], 0)  # (B, L, heads * D)
    return taken.unflatten(2, (num_heads, -1)).transpose(1, 2).contiguous()


def scatter_rows_(packed: Tensor, rows: Tensor, out: Tensor) -> Tensor:
    is_there = rows >= 0
    out[rows[is_there].long()] = packed.transpose(1, 2).flatten(2)[is_there]
    return out


def add_rows_(packed: Tensor, rows: Tensor, out: Tensor) -> Tensor:
    is_there = rows >= 0
    return out.index_add_(0, rows[is_there].long(), packed.transpose(1, 2).flatten(2)[is_there].float())


def log_prob(logits: Tensor, target: Tensor) -> Tensor:
    wide = logits.float()
    return wide.gather(-1, target[:, None]).squeeze(-1) - wide.logsumexp(-1)


def log_prob_and_gradient_(logits: Tensor, target: Tensor) -> Tensor:
    result = log_prob(logits, target)
    gradient = logits.float().softmax(-1).neg_()
    gradient[torch.arange(len(target), device=target.device), target] += 1
    logits.copy_(gradient)
    return result


def dequantize_4bit(packed: Tensor, state: FourBit, out: Tensor) -> Tensor:
    scales = state.absmax
    if state.state2 is not None and state.offset is not None:
        scales = _times(state.state2.code[scales.long()], state.state2.absmax, state.state2.blocksize) + state.offset
    flat = packed.view(-1)
    codes = torch.stack([flat >> 4, flat & 15], dim=-1).view(-1)[: out.numel()]
    return out.copy_(_times(state.code[codes.long()], scales, state.blocksize).view(out.shape))


def _times(values: Tensor, scales: Tensor, block_size: int) -> Tensor:
    """Each value times its block's scale."""
    return values * scales.repeat_interleave(block_size)[: len(values)]


def dropout(x: Tensor, probability: float, keys: Keys, add_to: Tensor | None) -> Tensor:
    # The scale as the kernel has it: rounded to float32 once.
    scale = torch.tensor(1 / (1 - probability), dtype=torch.float32, device=x.device)
    kept = kept_mask(x.shape, probability, keys, x.device)
    result = torch.where(kept, x.float() * scale, 0.0)
    return result.to(x.dtype) if add_to is None else add_to.copy_(add_to.float() + result)


def kept_mask(shape: torch.Size, probability: float, keys: Keys, device: torch.device) -> Tensor:
    """bool, of the given shape: a pair of neighbours shares a hashed number, the first has its low 16 bits."""
    num_values = shape.numel()
    drawn = hashed((num_values + 1) // 2, keys, device).view(torch.int16)[:num_values]
    return ((drawn.int() & 0xFFFF) >= threshold(probability)).view(shape)


def threshold(probability: float) -> int:
    """Below this, of 65,536, a drawn number means dropped."""
    return round(probability * _LEVELS)
