"""LoRA: where it goes, what it trains, what is written."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from autotrain.errors import ModelError
from autotrain.models.adapters import add_adapter
from autotrain.models.forward import Policy
from autotrain.models.precision import FP32
from autotrain.trainers.clm.params import LLMTrainingParams


def lora(**settings: object) -> LLMTrainingParams:
    return LLMTrainingParams(peft=True, lora_r=4, lora_alpha=8, lora_dropout=0.0, **settings)


def adapted_layers(model: torch.nn.Module) -> set[str]:
    return {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_parameters() if "lora_A" in name}


def test_all_linear_layers_but_the_head_are_adapted(tiny_llama):
    model = add_adapter(tiny_llama(), lora())
    assert adapted_layers(model) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_defect_25_spaces_after_commas_in_target_modules_mean_nothing(tiny_llama):
    assert adapted_layers(add_adapter(tiny_llama(), lora(target_modules="q_proj, k_proj"))) == {"q_proj", "k_proj"}


def test_a_layer_that_does_not_exist_is_named_with_the_nearest_and_the_rest(tiny_llama):
    with pytest.raises(ModelError, match=r"no layer q_porj; did you mean q_proj.*down_proj, gate_proj.*all-linear"):
        add_adapter(tiny_llama(), lora(target_modules="q_porj,v_proj"))


def test_what_is_trained_is_float32_whatever_the_base(tiny_llama):
    model = add_adapter(tiny_llama().to(torch.bfloat16), lora(), new_token_ids=[7, 9])
    assert {parameter.dtype for parameter in model.parameters() if parameter.requires_grad} == {torch.float32}
    assert {parameter.dtype for parameter in model.parameters() if not parameter.requires_grad} == {torch.bfloat16}


@pytest.mark.parametrize("setting", ["use_rslora", "use_dora"])
def test_variants_change_the_model(tiny_llama, documents, setting: str):
    model = add_adapter(tiny_llama(), lora(**{setting: True}))
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    assert layer.scaling["default"] == pytest.approx(8 / 4**0.5 if setting == "use_rslora" else 8 / 4)
    assert any("magnitude" in name for name, _ in model.named_parameters()) == (setting == "use_dora")
    Policy(model, FP32)(documents(9)).per_token.sum().backward()


def test_gpt2_with_its_transposed_layers_is_adapted(documents):
    model = add_adapter(GPT2LMHeadModel(GPT2Config(vocab_size=211, n_embd=48, n_layer=2, n_head=4)), lora())
    assert adapted_layers(model) == {"c_attn", "c_proj", "c_fc"}
    assert Policy(model, FP32).verdict.layout == "flat"


@pytest.mark.parametrize("tied", [True, False])
def test_rows_of_new_tokens_are_trained_in_and_out_and_saved_without_the_matrix(tiny_llama, documents, tmp_path, tied):
    model = add_adapter(tiny_llama(tied=tied), lora(target_modules="q_proj"), new_token_ids=[200, 201])
    policy = Policy(model, FP32)
    assert policy.verdict.fused_head
    rows = {name: parameter for name, parameter in model.named_parameters() if "token_adapter" in name}
    rows = {name: parameter for name, parameter in rows.items() if parameter.requires_grad}
    assert len(rows) == (1 if tied else 2) and all(parameter.shape == (2, 48) for parameter in rows.values())
    policy(documents(30)).per_token.sum().backward()
    head_rows = next(parameter for name, parameter in rows.items() if tied or "lm_head" in name)
    assert head_rows.grad is not None and head_rows.grad.abs().sum() > 0
    model.save_pretrained(str(tmp_path), save_embedding_layers=False)
    shapes = [tensor.shape for tensor in load_file(tmp_path / "adapter_model.safetensors").values()]
    assert all(211 not in shape for shape in shapes) and sum(shape == (2, 48) for shape in shapes) == len(rows)


def test_trained_rows_get_the_same_gradient_as_full_logits_would_give(tiny_llama, documents):
    batch = documents(30)
    batch.target[:3] = 200
    gradients = []
    for fused in (True, False):
        model = add_adapter(tiny_llama(), lora(target_modules="q_proj"), new_token_ids=[200])
        policy = Policy(model, FP32)
        object.__setattr__(policy.verdict, "fused_head", fused)
        policy(batch).per_token.sum().backward()
        (rows,) = [p for name, p in model.named_parameters() if "token_adapter" in name and p.requires_grad]
        gradients.append(rows.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-5)


def test_checkpointing_with_an_adapter_changes_no_gradient(tiny_llama, documents):
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(3)
        policy = Policy(add_adapter(tiny_llama(), lora()), FP32).train()
        policy.set_gradient_checkpointing(checkpointing)
        policy(documents(20, 12)).per_token.sum().backward()
        gradients.append({name: p.grad for name, p in policy.named_parameters() if p.requires_grad})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
    assert any(bool(gradient.abs().sum()) for gradient in gradients[0].values())
