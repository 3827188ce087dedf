"""Do the fast paths compute what the plain ones do?  Losses and gradients, on models of random weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from autotrain.models.adapters import add_adapter, leave_casting_to_autocast
from autotrain.models.fast.switch import ALL, NONE, FastPaths
from autotrain.models.fast.varlen import candidate
from autotrain.models.forward import Policy
from autotrain.models.precision import BF16, FP32, Precision
from autotrain.models.reference import LiveReference
from autotrain.objectives import build
from autotrain.training.step import Examples, accumulate
from benchmarks.on_gpu.models import build_model
from benchmarks.on_gpu.ours import params_of, store_of
from benchmarks.on_gpu.rows import make_rows
from benchmarks.on_gpu.works import SHAPES

_NUM_ROWS, _LONGEST = 6, 400
_SCORES_SPREAD = 1.2  # of queries and keys: with less, attention is flat, and a wrong mask hardly shows
_FP32_LOSS, _FP32_GRADIENT = 1e-5, 1e-3
# In bf16 the fast way may be this much further from float32 than the plain way is.
_BF16_FACTOR, _BF16_LOSS_SLACK, _BF16_GRADIENT_SLACK = 1.5, 1e-2, 2e-3


@dataclass(frozen=True)
class Parity:
    """Relative errors against the plain paths in float32: of the loss, and of all gradients together (2-norm).

    plain: those of the plain paths in the precision that is compared.
    """

    name: str
    kernel: str
    loss_error: float
    gradient_error: float
    plain_loss_error: float
    plain_gradient_error: float
    agrees: bool


def check(device: torch.device, shapes: Sequence[str]) -> list[Parity]:
    """For texts and pairs, in float32 and bf16."""
    return [
        _compare(shape, trainer, precision, device)
        for shape in shapes
        for trainer in ("sft", "dpo")
        for precision in (FP32, BF16)
    ]


def _compare(shape: str, trainer: str, precision: Precision, device: torch.device) -> Parity:
    right = _step(shape, trainer, precision, NONE, device, in_float32=True)
    plain = _errors(_step(shape, trainer, precision, NONE, device), right)
    fast = _errors(_step(shape, trainer, precision, ALL, device), right)
    if precision is FP32:
        agrees = fast[0] <= _FP32_LOSS and fast[1] <= _FP32_GRADIENT
    else:
        slack = (_BF16_LOSS_SLACK, _BF16_GRADIENT_SLACK)
        agrees = all(fast[place] <= _BF16_FACTOR * plain[place] + slack[place] for place in (0, 1))
    kernel = candidate(device, precision.compute, SHAPES[shape].head_size)
    return Parity(f"{shape} {trainer} {precision.name}", kernel.name if kernel else "none", *fast, *plain, agrees)


def _errors(found: tuple[float, Tensor], right: tuple[float, Tensor]) -> tuple[float, float]:
    loss_error = abs(found[0] - right[0]) / abs(right[0])
    return loss_error, float((found[1] - right[1]).norm() / right[1].norm())


def _step(
    shape: str, trainer: str, precision: Precision, fast: FastPaths, device: torch.device, *, in_float32: bool = False
) -> tuple[float, Tensor]:
    """Loss and all gradients of one step, in float32.  in_float32: the same weights, computed in float32."""
    spread = _SCORES_SPREAD / SHAPES[shape].hidden ** 0.5
    model = build_model(SHAPES[shape], device, precision.compute, spread=spread)
    policy = _policy(model.float() if in_float32 else model, FP32 if in_float32 else precision, fast)
    rows = make_rows(trainer, _NUM_ROWS, SHAPES[shape].vocabulary, longest=_LONGEST)
    reference = LiveReference(policy, "the base model", True).of if trainer == "dpo" else None
    objective = build(trainer, params_of(trainer, has_adapter=True).model_dump())
    budget = max(row.num_tokens for row in rows) * 2  # several rows to a micro-batch, several micro-batches to a step
    result = accumulate(policy, objective, Examples(store_of(rows), reference), range(len(rows)), budget)
    gradients = [parameter.grad.float().flatten() for parameter in policy.parameters() if parameter.grad is not None]
    return result.loss, torch.cat(gradients)


def _policy(model: Any, precision: Precision, fast: FastPaths) -> Policy:
    """With an adapter that isn't 0, or half of the gradients would be."""
    adapted = add_adapter(model, params_of("sft", has_adapter=True))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if ".lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)
    if precision.autocast:
        leave_casting_to_autocast(adapted)
    return Policy(adapted, precision, fast=fast).train()
