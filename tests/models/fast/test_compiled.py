"""Compiled layers give the same losses and gradients, for all lengths, with one compilation.

The compiler's own back end takes a minute on a processor; what is traced is the same without it.
"""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from autotrain.models.body import find_body
from autotrain.models.fast.compiled import compile_layers
from autotrain.models.forward import Policy
from autotrain.models.precision import FP32


def adapted(model: nn.Module) -> Policy:
    torch.manual_seed(0)
    lora = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, parameter in lora.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return Policy(lora, FP32).train()


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
