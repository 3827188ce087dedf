"""The loss of `default` and `sft`, worked by hand."""

import pytest
import torch

from autotrain import objectives
from autotrain.errors import ConfigError
from autotrain.types import Counts, LogProbs


def loss(per_token, tokens):
    logps = LogProbs(torch.tensor(per_token, requires_grad=True), torch.zeros(len(per_token), dtype=torch.long), 1)
    return objectives.build("sft", {}).loss(logps, None, Counts(tokens, 1, 1)).value, logps.per_token


def test_it_is_the_mean_negative_log_likelihood():
    value, _ = loss([-1.0, -2.0, -3.0], tokens=3)
    assert value.item() == pytest.approx(2.0)  # (1 + 2 + 3) / 3


def test_likelier_tokens_cost_less():
    assert loss([-0.5, -0.5], 2)[0] < loss([-0.6, -0.5], 2)[0]


def test_shares_of_a_step_add_up():
    whole = loss([-1.0, -2.0, -6.0], tokens=3)[0]
    assert whole == loss([-1.0], tokens=3)[0] + loss([-2.0, -6.0], tokens=3)[0]


def test_the_gradient_pushes_every_token_up():
    value, per_token = loss([-1.0, -2.0], tokens=2)
    value.backward()
    assert per_token.grad.tolist() == [-0.5, -0.5]


def test_the_folder_is_the_registry():
    assert {"default", "sft"} <= objectives.available().keys()
    with pytest.raises(ConfigError, match="no objective 'grpo'"):
        objectives.build("grpo", {})
