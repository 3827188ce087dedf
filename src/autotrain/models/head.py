"""Log-probabilities of targets from hidden states, without ever holding all logits.

Legend: M predictions, H hidden size, V vocabulary.  A chunk is a few rows of the M.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PretrainedConfig

from autotrain.models.kernels import ops

# Logits of one chunk, in elements: 24 MB of bfloat16 on a processor, whose cache then holds much of them between two passes
# over them (256 rows at a vocabulary of 49,152; fewer make slower products), and 512 MB of float32 on an accelerator.
_CHUNK_ELEMENTS_CPU = 3 * 2**22
_CHUNK_ELEMENTS_ACCELERATOR = 2**27
# Columns of logits that are multiplied at a time on a processor: few pieces, since each rounds the sum once more.
_PIECE = 2**14
# Where a processor's logits lie, for each type of theirs.
_places = threading.local()


@dataclass(frozen=True)
class HeadFormula:
    """logits = cap(multiply * (h W^T + b)), where cap(x) = cap * tanh(x / cap).

    A guess from the configuration, which the self-test confirms against the model's own logits.
    """

    multiply: float = 1.0
    cap: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether logits are the products themselves."""
        return self.multiply == 1.0 and self.cap is None


def guess_formula(config: PretrainedConfig) -> HeadFormula:
    """Read scale and cap from the names that families use for them."""
    fields = config.get_text_config().to_dict()
    multiply = 1.0
    for name in ("logit_scale", "lm_head_multiplier"):
        if isinstance(fields.get(name), int | float):
            multiply *= float(fields[name])
    if isinstance(fields.get("logits_scaling"), int | float):
        multiply /= float(fields["logits_scaling"])
    caps = [float(fields[name]) for name in ("final_logit_softcapping", "logits_soft_cap") if fields.get(name)]
    return HeadFormula(multiply, caps[0] if caps else None)


def is_plain(head: nn.Module) -> bool:
    """Whether the head is a matrix and perhaps a bias (of trainable tokens too); otherwise it must be called."""
    tokens_wrapper = type(head).__name__ == "TrainableTokensWrapper"
    return type(head) is nn.Linear or (tokens_wrapper and type(_original(head)) is nn.Linear)


def input_width(head: nn.Module) -> int:
    """H, as the head's weight has it."""
    inner = _original(head) if type(head).__name__ == "TrainableTokensWrapper" else head
    return int(inner.in_features)  # pyright: ignore[reportArgumentType]


def _original(wrapper: nn.Module) -> nn.Module:
    return wrapper.get_submodule("original_module")


def log_probs(hidden: Tensor, target: Tensor, head: nn.Module, formula: HeadFormula) -> Tensor:
    """(M,) float32 log-probabilities.  hidden: (M, H); target: (M,) int64.

    Under autocast the products are taken in its type, the softmax in float32.
    """
    if not is_plain(head):
        return _called_log_probs(hidden, target, head, formula)
    device_type = hidden.device.type
    dtype = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else hidden.dtype
    # A wrapper makes a fresh weight at each read, so it is read once.
    weight: Tensor = head.weight  # pyright: ignore[reportAssignmentType]  # (V, H)
    source = head if type(head) is nn.Linear else _original(head)
    bias: Tensor | None = source.bias  # pyright: ignore[reportAssignmentType]  # (V,)
    with torch.autocast(device_type, enabled=False):
        return _LinearLogProbs.apply(hidden, weight, bias, target, formula, dtype)  # pyright: ignore[reportReturnType]


def plain_log_probs(hidden: Tensor, target: Tensor, head: nn.Module, formula: HeadFormula) -> Tensor:
    """The same from full logits: what `log_probs` is tested against."""
    logits = finish_logits(head(hidden), formula)
    return logits.log_softmax(dim=-1).gather(1, target[:, None])[:, 0]


def finish_logits(products: Tensor, formula: HeadFormula) -> Tensor:
    """Scale and cap h W^T + b, in float32."""
    logits = products.float()
    if formula.multiply != 1.0:
        logits = logits * formula.multiply
    if formula.cap is not None:
        logits = torch.tanh(logits / formula.cap) * formula.cap
    return logits


def _called_log_probs(hidden: Tensor, target: Tensor, head: nn.Module, formula: HeadFormula) -> Tensor:
    """For a head that is more than a matrix (LoRA on it): call it by chunks, and again in the backward pass."""
    vocabulary: int = head.out_features  # pyright: ignore[reportAssignmentType]
    parts = [
        checkpoint(plain_log_probs, hidden[rows], target[rows], head, formula, use_reentrant=False)
        for rows in _chunks(len(target), vocabulary, hidden.device)
    ]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


def chunk_rows(vocabulary: int, device_type: str) -> int:
    """Predictions whose logits are in memory at once."""
    return max(16, (_CHUNK_ELEMENTS_CPU if device_type == "cpu" else _CHUNK_ELEMENTS_ACCELERATOR) // vocabulary)


def _chunks(num_rows: int, vocabulary: int, device: torch.device) -> Iterator[slice]:
    size = chunk_rows(vocabulary, device.type)
    for start in range(0, num_rows, size):
        yield slice(start, min(start + size, num_rows))


class _LinearLogProbs(torch.autograd.Function):
    """log softmax(cap(multiply * (h W^T + b)))[target], by chunks.

    A log-probability depends on its own hidden row only.  So while W is frozen, the forward pass also makes the gradient of
    each log-probability with respect to its row, and the backward pass only scales it.  Otherwise logits are made again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        formula: HeadFormula,
        dtype: torch.dtype,
    ) -> Tensor:
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        ctx.formula, ctx.dtype, ctx.is_trained = formula, dtype, needs_weight or needs_bias
        result = hidden.new_empty(len(target), dtype=torch.float32)
        unit = torch.empty_like(hidden) if needs_hidden and not ctx.is_trained else None
        matrix, offset = weight.to(dtype), None if bias is None else bias.to(dtype)
        for rows in _chunks(len(target), weight.shape[0], hidden.device):
            logits, slope = _logits_and_slope(hidden[rows].to(dtype), matrix, offset, formula)
            if unit is None:
                result[rows] = ops.log_prob(logits, target[rows])
                continue
            result[rows] = ops.log_prob_and_gradient_(logits, target[rows])
            unit[rows] = _times_matrix(_before_finish(logits, slope, formula).to(dtype), matrix).to(unit.dtype)
        if unit is not None:
            ctx.save_for_backward(unit)
        elif ctx.is_trained:
            ctx.save_for_backward(hidden, weight, bias, target)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        gradient: Tensor = grad_outputs[0]
        if ctx.is_trained:
            return (*_trained_backward(ctx, gradient, *ctx.saved_tensors), None, None, None)
        (unit,) = ctx.saved_tensors
        return gradient[:, None].to(unit.dtype) * unit, None, None, None, None, None


def _trained_backward(
    ctx: Any, gradient: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    formula, dtype = ctx.formula, ctx.dtype
    matrix, offset = weight.to(dtype), None if bias is None else bias.to(dtype)
    grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
    grad_weight = torch.zeros_like(weight)
    grad_bias = torch.zeros_like(bias) if bias is not None else None
    for rows in _chunks(len(target), weight.shape[0], hidden.device):
        inputs = hidden[rows].to(dtype)
        logits, slope = _logits_and_slope(inputs, matrix, offset, formula)
        ops.log_prob_and_gradient_(logits, target[rows])
        by_logit = _before_finish(logits, slope, formula).mul_(gradient[rows, None])
        product = by_logit.to(dtype)
        grad_weight += product.T @ inputs
        if grad_hidden is not None:
            grad_hidden[rows] = _times_matrix(product, matrix).to(grad_hidden.dtype)
        if grad_bias is not None:
            grad_bias += by_logit.sum(dim=0, dtype=torch.float32)
    return grad_hidden, grad_weight, grad_bias


def _times_matrix(by_logit: Tensor, matrix: Tensor) -> Tensor:
    """(rows, H): by_logit (rows, V) times matrix (V, H).  Processors multiply such long rows faster in pieces."""
    if by_logit.device.type != "cpu":
        return by_logit @ matrix
    total = by_logit[:, :_PIECE] @ matrix[:_PIECE]
    for start in range(_PIECE, len(matrix), _PIECE):
        piece = slice(start, start + _PIECE)
        total.addmm_(by_logit[:, piece], matrix[piece])
    return total


def _logits_and_slope(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, formula: HeadFormula
) -> tuple[Tensor, Tensor | None]:
    """Logits of a chunk, and the derivative of the cap, 1 - (l / cap)^2, if there is one.

    They are of the products' type where nothing is done to them, and float32 where they are scaled or capped.
    """
    logits = _products(hidden, weight, bias)
    if formula.is_plain:
        return logits, None
    logits = logits.float()
    if formula.multiply != 1.0:
        logits = logits * formula.multiply
    if formula.cap is None:
        return logits, None
    share = torch.tanh(logits / formula.cap)
    return share * formula.cap, 1 - share * share


def _products(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """h W^T + b.  On a processor it is overwritten by the next call: chunk after chunk lies in one place.

    Freed, so large a block of memory isn't taken again by glibc before 2.38, which looks for a larger one to align in.
    """
    if hidden.device.type != "cpu" or torch.is_grad_enabled():
        return functional.linear(hidden, weight, bias)
    count = len(hidden) * len(weight)
    place: Tensor | None = getattr(_places, str(hidden.dtype), None)
    if place is None or place.numel() < count:
        place = hidden.new_empty(count)
        setattr(_places, str(hidden.dtype), place)
    out = place[:count].view(len(hidden), len(weight))
    return torch.mm(hidden, weight.T, out=out) if bias is None else torch.addmm(bias, hidden, weight.T, out=out)


def _before_finish(gradient: Tensor, slope: Tensor | None, formula: HeadFormula) -> Tensor:
    """From d / d logits to d / d (h W^T + b), in place."""
    if slope is not None:
        gradient.mul_(slope)
    return gradient.mul_(formula.multiply) if formula.multiply != 1.0 else gradient
