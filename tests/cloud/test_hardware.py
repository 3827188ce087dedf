"""Machines by the names that a config gives them, and what they cost."""

import re

import pytest
from hub_double import HubDouble

from autotrain.backends.base import find_backend
from autotrain.cloud.hardware import (
    HARDWARE,
    JOB_FLAVORS,
    PRICES_DATE,
    SPACE_FLAVORS,
    hardware_of,
    hourly_price,
    live_price,
    several_gpus_note,
)
from autotrain.config.declared import declared_names
from autotrain.config.names import DOCUMENTED_BACKENDS, backend_fault, unavailable_backend
from autotrain.errors import ConfigError
from autotrain.hub.client import open_api


def test_each_documented_space_is_a_backend_and_a_machine():
    documented = {name for name in DOCUMENTED_BACKENDS if name.startswith("spaces-")}
    declared = {name for name in declared_names("autotrain.backends") if name.startswith("spaces-")}
    assert len(documented) == 14 and documented <= declared
    assert declared == {f"spaces-{name}" for name in SPACE_FLAVORS}
    assert all(find_backend(name) for name in declared)


def test_names_are_the_hubs_own():
    from huggingface_hub import JobHardware, SpaceHardware

    assert set(SPACE_FLAVORS) <= {one.value for one in SpaceHardware}
    assert set(JOB_FLAVORS) == {one.value for one in JobHardware}


def test_a_machine_is_described_in_a_line():
    machine = hardware_of("spaces-a10g-largex4")
    assert (machine.num_gpus, machine.gpu_memory, machine.has_gpu) == (4, 96, True)
    assert hardware_of("jobs-cpu-upgrade").description == "8 vCPU, 32 GB; no GPU"
    assert hardware_of("spaces-t4-small").description == "4 vCPU, 15 GB; 1 x T4, 16 GB"


def test_prices_are_dated_and_differ_by_what_runs():
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", PRICES_DATE)
    assert (hourly_price("spaces-cpu-basic"), hourly_price("jobs-cpu-basic")) == (0.0, 0.01)
    assert all(one.space_price is None or one.job_price is not None for one in HARDWARE.values())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("spaces-t4", "spaces-t4-small"),
        ("spaces-a100", "spaces-a100-large"),
        ("spaces-h100", "spaces-a100-large"),
        ("spaces-l4", "spaces-l4x1"),
        ("spaces-l40s", "spaces-l40sx1"),
        ("spaces-a10g", "spaces-a10g-small"),
        ("spaces-A10G-larg", "spaces-a10g-large"),
        ("spaces-a100-x4", "spaces-a100x4"),
        ("space-t4-small", "spaces-t4-small"),
        ("spaces-rtx-pro-6000", "jobs-rtx-pro-6000"),
        ("job-h200x8", "jobs-h200x8"),
    ],
)
def test_a_machine_half_said_is_never_taken_for_the_dearest_of_its_kind(written: str, meant: str):
    assert f"did you mean '{meant}'?" in (backend_fault(written) or "")


def test_an_unknown_name_of_a_cloud_that_isnt_used_gets_its_reason():
    said = backend_fault("ep-aws-useast1-x") or ""
    assert "no backend 'ep-aws-useast1-x'" in said and "Inference Endpoints serve models" in said
    assert "the nearest that is: spaces-a100-large" in said and "did you mean" not in said


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("spaces-t4-smal", "did you mean 'spaces-t4-small'"),
        ("spaces-h200", "there are spaces-cpu-basic"),
        ("local", "no machine"),
    ],
)
def test_an_unknown_machine_is_refused_with_the_nearest(name: str, hint: str):
    with pytest.raises(ConfigError, match=hint):
        hardware_of(name)


def test_of_several_gpus_it_is_said_how_many_are_used():
    assert several_gpus_note("jobs-l4x4", None) == (
        "jobs-l4x4 has 4 GPUs and trains on all: a step has 4 times batch_size rows"
    )
    assert several_gpus_note("jobs-l4x4", 1) == "jobs-l4x4 has 4 GPUs, all of them billed, and devices: 1 uses 1"
    assert several_gpus_note("spaces-t4-small", None) == ""


def test_live_prices_are_the_hubs(hub: HubDouble):
    hub.add_user("nils")
    api = open_api("hf_nils")
    assert live_price(api, "spaces-t4-small") == pytest.approx(0.40, rel=1e-3)
    assert live_price(api, "jobs-h200") == pytest.approx(5.0, rel=1e-3)
    hub.spaces_hardware[:] = [one for one in hub.spaces_hardware if one["name"] != "t4-small"]
    assert live_price(api, "spaces-t4-small") is None


@pytest.mark.parametrize("name", [name for name in DOCUMENTED_BACKENDS if name.startswith(("ep-", "nvcf-", "dgx-"))])
def test_clouds_that_are_not_used_say_why_and_name_one_that_is(name: str):
    assert backend_fault(name) is None  # a known name
    said = unavailable_backend(name) or ""
    found = re.fullmatch(
        rf"{name} is not available in this version: .{{40,}}; the nearest that is: (\S+), or local .*", said
    )
    assert found, said
    assert found[1] in declared_names("autotrain.backends")
