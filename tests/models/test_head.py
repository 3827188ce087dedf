"""The chunked head equals log_softmax of full logits, in value and gradient."""

import pytest
import torch
from torch import Tensor, nn

from autotrain.models import head as head_module
from autotrain.models.head import HeadFormula, guess_formula, log_probs, plain_log_probs

FORMULAS = [HeadFormula(), HeadFormula(multiply=0.3), HeadFormula(cap=3.0), HeadFormula(multiply=1.7, cap=2.0)]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(head_module, "_CHUNK_ELEMENTS_CPU", 16 * 211)  # 16 rows a chunk: 3 chunks


def values_and_gradients(function, hidden: Tensor, target: Tensor, head: nn.Linear, formula: HeadFormula) -> list[Tensor]:
    hidden = hidden.clone().requires_grad_(True)
    head.zero_grad()
    result = function(hidden, target, head, formula)
    (result * torch.linspace(-1, 2, len(result))).sum().backward()
    trained = [parameter.grad for parameter in head.parameters() if parameter.requires_grad]
    return [result.detach(), hidden.grad, *(gradient.clone() for gradient in trained)]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("is_trained", [False, True])
def test_chunked_head_agrees_with_full_logits(formula: HeadFormula, has_bias: bool, is_trained: bool):
    torch.manual_seed(0)
    head = nn.Linear(24, 211, bias=has_bias).requires_grad_(is_trained)
    hidden, target = torch.randn(40, 24) * 3, torch.randint(211, (40,))
    found = values_and_gradients(log_probs, hidden, target, head, formula)
    expected = values_and_gradients(plain_log_probs, hidden, target, head, formula)
    assert len(found) == 2 + is_trained * (1 + has_bias)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_three_equal_logits_cost_log_three():
    head = nn.Linear(2, 3, bias=False)
    nn.init.zeros_(head.weight)
    assert log_probs(torch.ones(1, 2), torch.tensor([1]), head, HeadFormula()).item() == pytest.approx(-1.0986, abs=1e-4)


def test_no_predictions_are_no_trouble():
    head = nn.Linear(4, 7).requires_grad_(False)
    hidden = torch.randn(0, 4, requires_grad=True)
    result = log_probs(hidden, torch.empty(0, dtype=torch.int64), head, HeadFormula())
    result.sum().backward()
    assert result.shape == (0,) and hidden.grad is not None


@pytest.mark.parametrize("is_trained", [False, True])
def test_autocast_multiplies_in_bfloat16_and_sums_in_float32(is_trained: bool):
    torch.manual_seed(0)
    head = nn.Linear(64, 211, bias=False).requires_grad_(is_trained)
    hidden, target = torch.randn(32, 64), torch.randint(211, (32,))
    exact = values_and_gradients(plain_log_probs, hidden, target, head, HeadFormula())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = values_and_gradients(log_probs, hidden, target, head, HeadFormula())
    assert rounded[0].dtype == torch.float32
    for one, other in zip(rounded, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.03)
    assert not torch.equal(rounded[0], exact[0])


def test_a_head_with_an_adapter_of_its_own_is_called():
    from peft.tuners.lora import Linear as LoraLinear
    from peft.tuners.lora import LoraConfig

    torch.manual_seed(0)
    base = nn.Linear(24, 211, bias=False).requires_grad_(False)
    adapted = LoraLinear(base, "default", config=LoraConfig(init_lora_weights=False), r=4, lora_alpha=8)
    hidden, target = torch.randn(40, 24), torch.randint(211, (40,))
    found = values_and_gradients(log_probs, hidden, target, adapted, HeadFormula())
    expected = values_and_gradients(plain_log_probs, hidden, target, adapted, HeadFormula())
    assert len(found) == 4  # value, hidden, A, B
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found[0], log_probs(hidden, target, base, HeadFormula()))


def test_scale_and_cap_are_read_from_the_names_that_families_use():
    from transformers import CohereConfig, Gemma2Config, GraniteConfig, LlamaConfig

    assert guess_formula(LlamaConfig()) == HeadFormula()
    assert guess_formula(CohereConfig(logit_scale=0.25)) == HeadFormula(multiply=0.25)
    assert guess_formula(GraniteConfig(logits_scaling=8.0)) == HeadFormula(multiply=0.125)
    assert guess_formula(Gemma2Config(final_logit_softcapping=30.0)) == HeadFormula(cap=30.0)


def test_logits_lie_in_one_place_and_what_was_made_of_them_stays(monkeypatch):
    monkeypatch.setattr(head_module, "_CHUNK_ELEMENTS_CPU", 16 * 50)
    torch.manual_seed(0)
    head = nn.Linear(8, 50).requires_grad_(False)
    batches = [(torch.randn(count, 8, requires_grad=True), torch.randint(50, (count,))) for count in (40, 3, 17)]
    made = [log_probs(hidden, target, head, HeadFormula()) for hidden, target in batches]
    with torch.no_grad():
        places = {head_module._products(hidden, head.weight, head.bias).data_ptr() for hidden, _ in batches}
    assert len(places) == 1
    for (hidden, target), log_prob in zip(batches, made, strict=True):
        (gradient,) = torch.autograd.grad(log_prob.sum(), hidden)
        expected = plain_log_probs(hidden, target, head, HeadFormula())
        torch.testing.assert_close(log_prob, expected)
        torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), hidden)[0])
