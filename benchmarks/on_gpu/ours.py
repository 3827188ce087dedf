"""Our side: the step of the product (training/step.py) on given rows."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from autotrain.data.store import ExampleStore
from autotrain.models.adapters import add_adapter, leave_casting_to_autocast
from autotrain.models.body import find_body
from autotrain.models.fast.compiled import compile_layers
from autotrain.models.fast.switch import ALL, NONE
from autotrain.models.forward import Policy
from autotrain.models.precision import BF16
from autotrain.models.quantize import keep_plain_layout
from autotrain.models.reference import LiveReference
from autotrain.objectives import build
from autotrain.params import LLMTrainingParams
from autotrain.training.step import Examples, accumulate_within_memory
from autotrain.types import Example, Origin, Segment
from benchmarks.on_gpu.models import LORA_ALPHA, LORA_RANK, build_model
from benchmarks.on_gpu.rows import Row
from benchmarks.on_gpu.works import SHAPES, Side, Work

TOKEN_BUDGET = 16_384  # of a micro-batch; running out of memory halves it
LEARNING_RATE = 1e-5


def params_of(trainer: str, *, has_adapter: bool) -> LLMTrainingParams:
    """What a user would set for this work."""
    adapter = {"lora_r": LORA_RANK, "lora_alpha": LORA_ALPHA, "lora_dropout": 0.0} if has_adapter else {}
    return LLMTrainingParams(model="random", trainer=trainer, peft=has_adapter, mixed_precision="bf16", **adapter)


def make_policy(work: Work, side: Side, device: torch.device) -> Policy:
    """As models/load makes it, of random weights."""
    has_adapter = work.tuning != "full"
    dtype = torch.bfloat16 if has_adapter else torch.float32
    model: Any = build_model(SHAPES[work.shape], device, dtype, int4=work.tuning == "int4")
    if work.tuning == "int4":
        keep_plain_layout(model)
    fast = ALL if side.fast else NONE
    if has_adapter:
        model = add_adapter(model, params_of(work.trainer, has_adapter=True))
        leave_casting_to_autocast(model)
    policy = Policy(model, BF16, fast=fast).train()
    body = find_body(policy.pretrained)
    if side.compiled and body is not None:
        compile_layers(body)
    return policy


def store_of(rows: Sequence[Row]) -> ExampleStore:
    """The rows as the data path would leave them."""
    store = ExampleStore()
    for number, row in enumerate(rows):
        store.append(_example(row), Origin("random", number + 1))
    return store


def _example(row: Row) -> Example:
    prompt = np.asarray(row.prompt, np.int32)
    if len(row.answers) == 1:
        ids = np.concatenate([prompt, np.asarray(row.answers[0], np.int32)])
        return Example((Segment(ids, np.arange(len(ids)) >= len(prompt)),))
    answers = [np.asarray(answer, np.int32) for answer in row.answers]
    branches = [Segment(ids, np.ones(len(ids), bool), 0, number) for number, ids in enumerate(answers)]
    return Example((Segment(prompt, np.zeros(len(prompt), bool)), *branches), num_sequences=2)


def steps(work: Work, side: Side, rows: Sequence[Row], device: torch.device) -> Iterator[float]:
    """Trains; gives the loss of each step after it has been taken."""
    policy = make_policy(work, side, device)
    params = params_of(work.trainer, has_adapter=policy.has_adapter)
    objective = build(work.trainer, params.model_dump())
    reference = LiveReference(policy, "the base model", True).of if work.trainer == "dpo" else None
    examples = Examples(store_of(rows), reference)
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    budget = TOKEN_BUDGET
    for start in range(0, len(rows), work.num_rows):
        optimizer.zero_grad(set_to_none=True)
        indices = range(start, start + work.num_rows)
        result = accumulate_within_memory(policy, objective, examples, indices, budget)
        budget = result.token_budget
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        yield result.loss
