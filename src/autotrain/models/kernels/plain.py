"""The plain twins of the kernels, in torch: they define what each op computes.  Documented in `ops`."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from autotrain.models.kernels.hashing import Keys, hashed
from autotrain.models.kernels.quantized import FourBit
from autotrain.models.kernels.tiles import Heads, Tiles

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


def attention(query: Tensor, key: Tensor, value: Tensor, tiles: Tiles, heads: Heads) -> tuple[Tensor, Tensor]:
    out = query.new_zeros(len(query), value.shape[1] // heads.num_keys * heads.num_queries)
    sums = query.new_zeros(heads.num_queries, len(query), dtype=torch.float32)
    for keys, own in _blocks(tiles):
        scores = _scores(query, key, keys, own, heads)  # (K, G, L, C)
        sums[:, own] = scores.logsumexp(-1).flatten(0, 1) / math.log(2)
        gathered = torch.einsum("kglc,ckd->lkgd", scores.softmax(-1), _by_head(value[keys], heads.num_keys))
        out[own] = gathered.flatten(1).to(out.dtype)
    return out, sums


def attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, sums: Tensor, tiles: Tiles, heads: Heads
) -> tuple[Tensor, Tensor, Tensor]:
    by_query, by_key, by_value = (torch.zeros_like(tensor, dtype=torch.float32) for tensor in (query, key, value))
    for keys, own in _blocks(tiles):
        queries, grads, outs = (_by_group(tensor[own], heads) for tensor in (query, grad, out))
        mine, theirs = (_by_head(tensor[keys], heads.num_keys) for tensor in (key, value))
        of_block = sums[:, own].unflatten(0, (heads.num_keys, -1))
        weights = (_scores(query, key, keys, own, heads) / math.log(2) - of_block[..., None]).exp2()
        by_weight = torch.einsum("lkgd,ckd->kglc", grads, theirs)
        delta = (grads * outs).sum(-1).permute(1, 2, 0)  # (K, G, L)
        by_score = weights * (by_weight - delta[..., None]) * heads.scale
        by_value.index_add_(0, keys, torch.einsum("kglc,lkgd->ckd", weights, grads).flatten(1))
        by_key.index_add_(0, keys, torch.einsum("kglc,lkgd->ckd", by_score, queries).flatten(1))
        by_query[own] = torch.einsum("kglc,ckd->lkgd", by_score, mine).flatten(1)
    return by_query.to(query.dtype), by_key.to(key.dtype), by_value.to(value.dtype)


def _blocks(tiles: Tiles) -> Iterator[tuple[Tensor, slice]]:
    """Of each block the keys, (C,) int64, and which tokens its queries are."""
    for start, num_keys, num_queries in tiles.blocks.tolist():
        keys = tiles.paths[start : start + num_keys].long()
        first = int(keys[-num_queries])
        yield keys, slice(first, first + num_queries)


def _scores(query: Tensor, key: Tensor, keys: Tensor, own: slice, heads: Heads) -> Tensor:
    """(K, G, L, C) float32, minus infinity where a key isn't seen."""
    products = torch.einsum("lkgd,ckd->kglc", _by_group(query[own], heads), _by_head(key[keys], heads.num_keys))
    num_queries, num_keys = products.shape[2:]
    places = torch.arange(num_keys, device=query.device)
    distance = places[num_keys - num_queries :, None] - places  # (L, C)
    seen = (distance >= 0) & (distance < (heads.window or num_keys))
    return (products * heads.scale).masked_fill(~seen, -math.inf)


def _by_head(rows: Tensor, num_heads: int) -> Tensor:
    """(rows, heads, D) float32."""
    return rows.float().unflatten(1, (num_heads, -1))


def _by_group(rows: Tensor, heads: Heads) -> Tensor:
    """(rows, K, G, D) float32: the query heads that share a key head together."""
    return rows.float().unflatten(1, (heads.num_keys, heads.num_queries // heads.num_keys, -1))


def lora_shrink(wide: Tensor, matrix: Tensor, scale: float) -> Tensor:
    narrow = wide @ matrix.to(wide.dtype).T
    return narrow if scale == 1 else narrow.mul_(scale)


def lora_expand_(wide: Tensor, narrow: Tensor, matrix: Tensor, scale: float) -> Tensor:
    return wide.addmm_(narrow, matrix.to(wide.dtype), alpha=scale)


def lora_backward(grad: Tensor, narrow: Tensor, matrix: Tensor, scale: float, by_narrow: Tensor | None) -> Tensor:
    if by_narrow is not None:
        torch.mm(grad, matrix.to(grad.dtype).T, out=by_narrow).mul_(scale)
    is_turned = not matrix.is_contiguous()
    by_matrix = (grad.T @ narrow).T if is_turned else narrow.T @ grad
    return by_matrix.float().mul_(scale)


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
