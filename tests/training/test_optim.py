"""Optimizers and schedules by their Hugging Face names."""

import pytest
import torch

from autotrain.errors import UserError
from autotrain.params import LLMTrainingParams
from autotrain.trainers.clm.names import OPTIMIZERS, SCHEDULERS
from autotrain.training.optim import (
    advance_after_step,
    advance_after_validation,
    build_optimizer,
    build_schedule,
    check_optimizer,
)

CPU = torch.device("cpu")


def module():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.LayerNorm(6))


def test_the_names_are_those_of_transformers():
    from transformers.trainer_utils import SchedulerType
    from transformers.training_args import OptimizerNames

    assert {name.value for name in OptimizerNames} == OPTIMIZERS
    assert {name.value for name in SchedulerType} == SCHEDULERS


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_each_schedule_runs(name):
    params = LLMTrainingParams(scheduler=name, lr=0.1, warmup_ratio=0.2)
    optimizer = build_optimizer(module(), params)
    schedule = build_schedule(optimizer, params, 10)
    for _ in range(10):
        optimizer.step()
        advance_after_step(schedule, name, 1.0)
        advance_after_validation(schedule, name, 1.0)
    assert 0 <= optimizer.param_groups[0]["lr"] <= 0.1


@pytest.mark.parametrize("name", ["linear", "cosine", "constant_with_warmup", "polynomial"])
def test_a_run_of_one_step_trains(name):
    params = LLMTrainingParams(scheduler=name, lr=0.1, warmup_ratio=0.1)
    optimizer = build_optimizer(module(), params)
    build_schedule(optimizer, params, 1)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_each_optimizer_lowers_the_loss_or_is_refused_with_a_way_out(name):
    params, net = LLMTrainingParams(optimizer=name, lr=0.01), module()
    try:
        check_optimizer(params, CPU)
        optimizer = build_optimizer(net, params)
    except UserError as error:
        assert str(error).startswith("optimizer: ")
        return
    inputs, losses = torch.randn(16, 6), []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (net(inputs) - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"])
def test_what_every_machine_has_is_never_refused(name):
    check_optimizer(LLMTrainingParams(optimizer=name), CPU)
    build_optimizer(module(), LLMTrainingParams(optimizer=name))


def test_norms_and_biases_get_no_weight_decay():
    groups = build_optimizer(module(), LLMTrainingParams(weight_decay=0.1)).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 1), (0.0, 3)]
