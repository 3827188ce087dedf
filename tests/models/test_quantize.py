"""When the base is quantized, and that training it works."""

import importlib.util

import pytest
import torch

from autotrain.config.notices import ineffective
from autotrain.errors import DeviceError
from autotrain.models.load import load_model
from autotrain.models.precision import BF16, FP32
from autotrain.models.quantize import choose_quantization
from autotrain.trainers.clm.params import LLMTrainingParams

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
HAS_LIBRARY = importlib.util.find_spec("bitsandbytes") is not None
needs_library = pytest.mark.skipif(not HAS_LIBRARY, reason="bitsandbytes is not installed")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch):
    def pretend(installed: bool) -> None:
        monkeypatch.setattr("autotrain.models.quantize.find_spec", lambda name: object() if installed else None)

    return pretend


def test_by_default_an_adapter_on_cuda_has_its_base_in_four_bits(library, notices):
    library(True)
    assert choose_quantization(LLMTrainingParams(peft=True), CUDA) == "int4"
    assert notices == []


@pytest.mark.parametrize(
    ("installed", "device", "why"), [(False, CUDA, "bitsandbytes is not installed"), (True, CPU, "cpu")]
)
def test_defect_15_fault_8_by_default_it_is_none_with_a_notice_elsewhere(library, notices, installed, device, why):
    library(installed)
    assert choose_quantization(LLMTrainingParams(peft=True), device) is None
    assert len(notices) == 1 and why in notices[0]


def test_a_model_trained_whole_is_not_quantized(library, notices):
    library(True)
    assert choose_quantization(LLMTrainingParams(), CUDA) is None
    assert choose_quantization(LLMTrainingParams(quantization="int4"), CUDA) is None
    assert notices == []  # that it has no effect is said with the other fields that have none
    assert "quantization has no effect without peft: true" in ineffective(LLMTrainingParams(quantization="int4"))


def test_what_was_asked_for_is_obeyed_or_refused(library, notices):
    params = LLMTrainingParams(peft=True, quantization="int8")
    library(True)
    assert choose_quantization(params, CPU) == "int8"
    with pytest.raises(DeviceError, match="not possible on mps"):
        choose_quantization(params, torch.device("mps"))
    library(False)
    with pytest.raises(DeviceError, match=r"pip install 'autotrain-llm\[quant\]'"):
        choose_quantization(params, CPU)
    assert choose_quantization(LLMTrainingParams(peft=True, quantization="none"), CUDA) is None
    assert notices == []


@needs_library
@pytest.mark.parametrize("quantization", ["int4", "int8"])
@pytest.mark.parametrize("precision", [FP32, BF16])
def test_a_quantized_base_trains_close_to_the_dense_one(tiny_llama, documents, saved, quantization, precision):
    source = saved(tiny_llama(hidden_size=64, tied=False))
    params = LLMTrainingParams(peft=True, lora_dropout=0.0, lora_r=4)
    common = {"vocabulary_size": 211, "new_token_ids": (), "device": CPU, "seed": 1}
    dense = load_model(params, source, precision=FP32, quantization=None, **common)
    policy = load_model(params, source, precision=precision, quantization=quantization, **common).train()
    assert policy.verdict.layout == "flat"
    assert policy.num_parameters == dense.num_parameters
    kinds = {type(module).__name__ for module in policy.modules()}
    assert ("Linear4bit" if quantization == "int4" else "Linear8bitLt") in kinds
    batch = documents(30, 20)
    losses = []
    optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(4):
        loss = -policy(batch).per_token.mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(-dense(batch).per_token.mean().item(), rel=0.15)
    assert losses[-1] < losses[0]
