"""How several devices share a model is chosen by whether it fits one, and told."""

from pathlib import Path
from typing import Any

import pytest
import torch

from autotrain import log
from autotrain.base_models import find_model
from autotrain.errors import ConfigError, DeviceError
from autotrain.models.precision import choose_precision
from autotrain.params import LLMTrainingParams
from autotrain.trainers.clm.prepare import Machine
from autotrain.trainers.clm.together import check_together, choose_way, place_of_loading

CPU = torch.device("cpu")


def chosen(model: Path, num_sharing: int, **fields: Any) -> tuple[str, str]:
    """num_sharing: processes that share the machine's memory, so that each has so much less."""
    params = LLMTrainingParams(model=str(model), **fields)
    source = find_model(params.model, trusts_code=False, takes_pickle=False)
    return choose_way(params, source, Machine(CPU, choose_precision(params, CPU), None, num_sharing), "causal")


def test_a_model_that_fits_is_whole_on_each(tiny_model: Path) -> None:
    way, why = chosen(tiny_model, 2)
    assert way == "ddp"
    assert "fits a device" in why


def test_one_that_does_not_is_cut_up(tiny_model: Path) -> None:
    way, why = chosen(tiny_model, 1_000_000)
    assert way == "fsdp"
    assert "doesn't fit a device" in why


def test_what_was_asked_for_is_done(tiny_model: Path) -> None:
    assert chosen(tiny_model, 2, distributed_backend="fsdp")[0] == "fsdp"
    assert chosen(tiny_model, 1_000_000, distributed_backend="ddp")[0] == "ddp"


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"optimizer": "adafactor"}, ConfigError, "adafactor can't work on a model that is cut up"),
        ({"mixed_precision": "fp16"}, DeviceError, "take bf16"),
    ],
)
def test_what_does_not_go_with_a_model_that_is_cut_up_is_refused(
    tiny_model: Path, fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        check_together(LLMTrainingParams(distributed_backend="fsdp", **fields), 2)
    if "optimizer" in fields:
        with pytest.raises(error, match=said):
            chosen(tiny_model, 1_000_000, **fields)


def test_one_device_only_notes_it() -> None:
    with log.collect_notices() as notices:
        check_together(LLMTrainingParams(distributed_backend="fsdp", optimizer="adafactor"), 1)
    assert notices == ["distributed_backend: fsdp has no effect with one device"]


def test_what_is_cut_up_is_loaded_beside_the_device_unless_it_is_packed_there() -> None:
    device = torch.device("cuda", 0)
    precision = choose_precision(LLMTrainingParams(), CPU)
    machine = Machine(device, precision, None)
    assert place_of_loading(machine, "fsdp").device == CPU
    assert place_of_loading(machine, "ddp").device == device
    assert place_of_loading(Machine(device, precision, "int4"), "fsdp").device == device
