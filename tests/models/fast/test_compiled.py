"""Compiled layers give the same losses and gradients, for all lengths, with one compilation.

The compiler's own back end takes a minute on a processor; what is traced is the same without it.
"""

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from autotrain.models.body import find_body
from autotrain.models.fast import compiled
from autotrain.models.fast.compiled import compile_layers
from autotrain.models.fast.switch import NONE, FastPaths, fast_paths_of
from autotrain.models.forward import Policy
from autotrain.models.precision import FP32
from autotrain.trainers.clm.params import LLMTrainingParams

COMPILE = replace(NONE, compile=True)


def adapted(model: nn.Module, fast: FastPaths = NONE) -> Policy:
    torch.manual_seed(0)
    lora = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return Policy(lora, FP32, fast=fast).train()


def told(caplog: pytest.LogCaptureFixture) -> str:
    """What the user was told."""
    return "\n".join(record.message for record in caplog.records if record.name == "autotrain")


def losses_and_gradients(policy: Policy, batches: list) -> list[torch.Tensor]:
    found = []
    for batch in batches:
        policy.zero_grad()
        loss = -policy(batch).per_token.mean()
        loss.backward()
        found += [loss.detach(), *(p.grad.clone() for p in policy.parameters() if p.grad is not None)]
    return found


@pytest.mark.parametrize("checkpointed", [False, True])
def test_compiled_layers_are_the_same_layers(tiny_llama, documents, checkpointed: bool):
    torch._dynamo.reset()
    policy = adapted(tiny_llama())
    policy.set_gradient_checkpointing(checkpointed)
    batches = [documents(9, 14), documents(31), documents(5, 6, 7, 20)]
    expected = losses_and_gradients(policy, batches)
    body = find_body(policy.pretrained)
    assert body is not None and compile_layers(body, backend="aot_eager") == 2
    for one, other in zip(losses_and_gradients(policy, batches), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_later_lengths_compile_nothing_anew(tiny_llama, documents):
    torch._dynamo.reset()
    policy = Policy(tiny_llama(num_hidden_layers=3), FP32)
    body = find_body(policy.pretrained)
    assert body is not None
    compile_layers(body, backend="aot_eager")
    policy(documents(9, 14))
    policy(documents(31))
    with torch.compiler.set_stance("fail_on_recompile"):
        for lengths in ((5, 6, 7, 20), (40,), (3, 2)):
            policy(documents(*lengths))


def test_a_body_without_decoder_layers_is_left_as_it_is():
    assert compile_layers(nn.Sequential(nn.Linear(2, 2))) == 0


def test_asked_for_by_name_layers_are_compiled_and_give_the_same(tiny_llama, documents, monkeypatch, caplog):
    torch._dynamo.reset()
    monkeypatch.setattr(compiled, "_BACKEND", "aot_eager")
    policy = adapted(tiny_llama(), COMPILE)
    assert policy.is_compiled and "compile" not in told(caplog)
    batches = [documents(9, 14), documents(31)]
    with torch.compiler.set_stance("force_eager"):
        expected = losses_and_gradients(policy, batches)
    for one, other in zip(losses_and_gradients(policy, batches), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["fails", "is wrong"])
def test_a_compiler_that_cannot_be_used_is_left_out_with_one_line(tiny_llama, documents, monkeypatch, caplog, kind: str):
    def backend(module, inputs):
        if kind == "fails":
            raise RuntimeError("no compiler here\nwith a long story")
        return lambda *args: [1.5 * out if torch.is_tensor(out) else out for out in module.forward(*args)]

    torch._dynamo.reset()
    monkeypatch.setattr(compiled, "_BACKEND", backend)
    plain = adapted(tiny_llama())
    policy = adapted(tiny_llama(), COMPILE)
    said = told(caplog)
    assert not policy.is_compiled
    assert ("no compiler here" if kind == "fails" else "hidden states differ") in said
    assert said.count("fast_paths: compile is left out: ") == 1 and "long story" not in said
    batches = [documents(9, 14)]
    for one, other in zip(losses_and_gradients(policy, batches), losses_and_gradients(plain, batches), strict=True):
        assert torch.equal(one, other)


def test_layers_that_are_gathered_when_called_are_not_compiled(tiny_llama, documents, monkeypatch, caplog):
    torch._dynamo.reset()
    monkeypatch.setattr(compiled, "_BACKEND", "aot_eager")
    policy = adapted(tiny_llama(), COMPILE)
    policy.leave_layers_whole()
    assert not policy.is_compiled and "fsdp" in told(caplog)
    with torch.compiler.set_stance("fail_on_recompile"):
        policy(documents(9, 14))


def test_compiling_leaves_out_what_the_compiler_cannot_look_into():
    params = LLMTrainingParams(model="base", fast_paths="compile,layer,lora,attention")
    assert params.fast_paths == "attention,lora,layer,compile"
    fast = fast_paths_of(params)
    assert fast.compile and fast.attention and not fast.lora and not fast.layer
    assert not fast_paths_of(LLMTrainingParams(model="base")).compile


@pytest.mark.slow  # inductor compiles for a minute
def test_inductor_trains_the_same(tiny_llama, documents):
    torch._dynamo.reset()
    plain, policy = adapted(tiny_llama()), adapted(tiny_llama(), COMPILE)
    assert policy.is_compiled
    batches = [documents(9, 14), documents(31)]
    for one, other in zip(losses_and_gradients(policy, batches), losses_and_gradients(plain, batches), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
