"""Loading: precision, growth, dropout, and what is said when a model can't be had."""

import json
from pathlib import Path

import pytest
import torch
from hub_double import HubDouble
from transformers import (
    AutoConfig,
    BertConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
)

from autotrain.base_models import ModelSource
from autotrain.errors import DeviceError, ModelError
from autotrain.models import precision as precision_module
from autotrain.models.load import choose_precision, load_model, model_limit, read_model_config
from autotrain.models.precision import BF16, FP16, FP32
from autotrain.trainers.clm.params import LLMTrainingParams

CPU = torch.device("cpu")


def load(source: ModelSource, *, vocabulary_size: int = 211, precision=FP32, seed: int = 1, **settings: object):
    params = LLMTrainingParams(**settings)
    return load_model(
        params,
        source,
        vocabulary_size=vocabulary_size,
        new_token_ids=(),
        device=CPU,
        precision=precision,
        quantization=None,
        seed=seed,
    )


def test_whole_models_train_in_float32_and_bases_of_adapters_are_held_in_the_compute_type(tiny_llama, saved):
    source = saved(tiny_llama())
    whole = load(source, precision=BF16)
    assert {parameter.dtype for parameter in whole.parameters()} == {torch.float32}
    assert whole.num_trainable == whole.num_parameters and not whole.has_adapter
    adapted = load(source, precision=BF16, peft=True)
    assert adapted.has_adapter and adapted.num_trainable < adapted.num_parameters
    assert {(p.dtype, p.requires_grad) for p in adapted.parameters()} == {(torch.bfloat16, False), (torch.float32, True)}


def test_the_same_seed_gives_the_same_adapter(tiny_llama, saved):
    source = saved(tiny_llama())
    states = [load(source, seed=seed, peft=True).trainable_state() for seed in (1, 1, 2)]
    name = next(name for name in states[0] if "lora_A" in name)
    assert torch.equal(states[0][name], states[1][name])
    assert not torch.equal(states[0][name], states[2][name])


def test_embeddings_grow_by_the_mean_row_and_never_shrink(tiny_llama, saved):
    for tied in (True, False):
        source = saved(tiny_llama(tied=tied))
        model = load(source, vocabulary_size=214).pretrained
        for rows in (model.get_input_embeddings().weight, model.get_output_embeddings().weight):
            assert rows.shape == (214, 48)
            torch.testing.assert_close(rows[211:], rows[:211].mean(dim=0).expand(3, -1))
        assert load(source, vocabulary_size=100).pretrained.get_input_embeddings().weight.shape[0] == 211


@pytest.mark.parametrize("model_class", [GPT2LMHeadModel, OPTForCausalLM])
def test_the_models_own_dropout_is_off_and_its_configuration_keeps_it(model_class, saved, documents, notices):
    config = (
        GPT2Config(vocab_size=211, n_embd=48, n_layer=2, n_head=4)
        if model_class is GPT2LMHeadModel
        else OPTConfig(vocab_size=211, hidden_size=48, num_hidden_layers=2, ffn_dim=96, num_attention_heads=4)
    )
    policy = load(saved(model_class(config))).train()
    assert torch.equal(policy(documents(9)).per_token, policy(documents(9)).per_token)
    fields = policy.pretrained.config.to_dict()
    assert 0.1 in (fields.get("attn_pdrop"), fields.get("dropout"))
    assert len(notices) == 1 and "dropout" in notices[0]


def test_limit_is_the_models_own_and_less_where_frequencies_follow_the_longest_text():
    assert model_limit(LlamaConfig(max_position_embeddings=2048)) == 2048
    assert model_limit(GPT2Config(n_positions=1024)) == 1024
    factors = [1.0] * 48
    rope = {"rope_type": "longrope", "short_factor": factors, "long_factor": factors}
    phi = Phi3Config(max_position_embeddings=131072, original_max_position_embeddings=4096, rope_scaling=rope)
    assert model_limit(phi) == 4096
    assert model_limit(AutoConfig.for_model("mamba")) is None
    assert model_limit(AutoConfig.for_model("bloom")) is None


def test_issue_261_precision_follows_the_machine(monkeypatch, notices):
    monkeypatch.setattr(precision_module, "_fast_precision", lambda device: BF16)
    assert choose_precision(LLMTrainingParams(mixed_precision="auto"), CPU) is BF16
    assert notices == []
    assert choose_precision(LLMTrainingParams(), CPU) is FP32
    assert "auto (bf16 here) would be faster" in notices.pop()
    assert choose_precision(LLMTrainingParams(mixed_precision="fp16"), CPU) is BF16
    assert "bf16 is used" in notices.pop()
    monkeypatch.setattr(precision_module, "_fast_precision", lambda device: FP32)
    assert choose_precision(LLMTrainingParams(), CPU) is FP32 and notices == []


def test_a_gpu_without_bfloat16_takes_float16_and_refuses_bfloat16(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    cuda = torch.device("cuda")
    assert choose_precision(LLMTrainingParams(mixed_precision="auto"), cuda) is FP16
    with pytest.raises(DeviceError, match="fp16, auto or none"):
        choose_precision(LLMTrainingParams(mixed_precision="bf16"), cuda)


def test_a_model_that_cannot_be_reached_is_named(monkeypatch):
    with pytest.raises(ModelError, match="no-such-org/no-such-model is not on this machine"):
        read_model_config(ModelSource("no-such-org/no-such-model"), None)


@pytest.mark.parametrize(("name", "near"), [("smollm2-135M", "smollm2-135m"), ("my-modle", "my-model")])
def test_a_misspelt_model_is_told_from_a_hub_id(monkeypatch, tmp_path, notices, name, near):
    (tmp_path / "my-model").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=rf"did you mean {near}\?"):
        read_model_config(ModelSource(name), None)
    assert any(f"{name} is no local folder" in line for line in notices)


def test_issue_365_a_gated_model_is_one_sentence_before_anything_is_read(hub: HubDouble):
    hub.add_repo("model", "some/model", files={"config.json": "{}"}, gated=True)
    with pytest.raises(ModelError, match=r"some/model is gated.*HF_TOKEN"):
        read_model_config(ModelSource("some/model"), None)


def test_what_the_hub_refuses_later_is_one_sentence_too(hub: HubDouble, monkeypatch):
    import httpx2
    from huggingface_hub.utils import hf_raise_for_status

    def refuse(*_: object, **__: object) -> None:
        request = httpx2.Request("GET", "https://hub/some/model/resolve/main/config.json")
        hf_raise_for_status(httpx2.Response(500, request=request))

    hub.add_repo("model", "some/model", files={"config.json": "{}"})
    monkeypatch.setattr("autotrain.models.load.AutoConfig.from_pretrained", refuse)
    with pytest.raises(ModelError, match=r"some/model can't be loaded: the hub has a fault of its own \(500"):
        read_model_config(ModelSource("some/model"), None)


def write_config(folder: Path, **fields: object) -> ModelSource:
    (folder / "config.json").write_text(json.dumps(fields), encoding="utf-8")
    return ModelSource(str(folder))


def test_other_kinds_of_models_are_refused(tmp_path):
    for fields in (
        {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"]},
        {**BertConfig().to_dict(), "architectures": ["BertForMaskedLM"]},
        {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
    ):
        with pytest.raises(ModelError, match="not a causal language model"):
            read_model_config(write_config(tmp_path, **fields), None)


def test_defect_19_code_of_a_model_runs_only_where_the_user_allows_it(tmp_path, monkeypatch):
    monkeypatch.delenv("ALLOW_REMOTE_CODE", raising=False)
    source = write_config(tmp_path, model_type="strange", auto_map={"AutoConfig": "strange.StrangeConfig"})
    with pytest.raises(ModelError, match=r"trust_remote_code: true.*ALLOW_REMOTE_CODE=1"):
        read_model_config(source, None)
    (tmp_path / "strange.py").write_text(
        "from transformers import PretrainedConfig\n\n"
        "class StrangeConfig(PretrainedConfig):\n    model_type = 'strange'\n    is_encoder_decoder = True\n"
    )
    with pytest.raises(ModelError, match="not a causal language model"):
        read_model_config(ModelSource(source.path, trusts_code=True), None)
    monkeypatch.setenv("ALLOW_REMOTE_CODE", "true")
    with pytest.raises(ModelError, match="not a causal language model"):
        read_model_config(source, None)


def test_broken_or_incomplete_weights_are_named(tiny_llama, saved):
    from safetensors.torch import load_file, save_file

    source = saved(tiny_llama())
    file = Path(source.path) / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="broken or incomplete"):
        load(source)
    file.write_bytes(whole)
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks weights.*layers\.1\.mlp\.up_proj"):
        load(source)
    file.unlink()
    with pytest.raises(ModelError, match="base_model"):
        load(source)
