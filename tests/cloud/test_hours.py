"""About how long a run in the cloud takes: worked by hand, unknown where something isn't known, and said in a line."""

import json
from pathlib import Path

import pytest
from hub_double import HubDouble

from autotrain.cloud.bill import Bill
from autotrain.cloud.hardware import HARDWARE, hardware_of
from autotrain.cloud.hours import START_HOURS, Hours, bytes_on_hub, estimate_hours, hours_by_hub, hours_here
from autotrain.cloud.model_size import config_here, num_weights
from autotrain.cloud.upload import SplitFile
from autotrain.hub.client import open_api
from autotrain.params import LLMTrainingParams

# 1 layer of width 10: 4 x 100 for attention, 3 x 10 x 20 for the rest, and 1000 words of 10.
TINY = {"hidden_size": 10, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 20, "vocab_size": 1000}
T4 = hardware_of("jobs-t4-small")


def params(**fields: object) -> LLMTrainingParams:
    return LLMTrainingParams(**{"model": "org/base", "data_path": "org/rows", "trainer": "sft"} | fields)


def computed(**fields: object) -> float:
    """Hours of computing 4e12 bytes of data, 1e12 tokens, with a model of 11,000 weights on a T4."""
    about = estimate_hours(params(**fields), T4, TINY, 4e12).about
    assert about is not None
    return about - START_HOURS


def test_weights_are_counted_by_the_configuration():
    assert num_weights(TINY) == 11_000
    grouped = {**TINY, "num_key_value_heads": 1}  # keys and values of 5 instead of 10: 2 x 10 x 5 less
    assert num_weights(grouped) == 10_900
    assert num_weights({"text_config": TINY}) == 11_000
    assert num_weights({"n_embd": 10, "n_layer": 1, "n_head": 2, "vocab_size": 1000, "model_type": "gpt2"}) == 11_200
    assert round((num_weights(config_here("smollm2-135m") or {}) or 0) / 1e6) == 134


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {**TINY, "num_experts": 8},
        {**TINY, "hidden_size": "ten"},
        {**TINY, "is_encoder_decoder": True},
        {"text_config": "x"},
    ],
)
def test_a_model_of_another_kind_is_not_guessed(odd: dict[str, object]):
    assert num_weights(odd) is None


def test_hours_are_operations_over_a_share_of_the_peak():
    # 1e12 tokens x 11,000 weights x 6 / (8.1e12 x 0.3 x 3600) = 7.545; with LoRA 4 of the 6; in half precision 8.1 / 65.
    assert computed() == pytest.approx(7.545, rel=1e-3)
    assert computed(peft=True) == pytest.approx(computed() * 4 / 6)
    assert computed(epochs=3) == pytest.approx(3 * computed())
    assert computed(trainer="dpo") == pytest.approx(computed() * 8 / 6)
    assert computed(mixed_precision="fp16") == pytest.approx(computed() * 8.1 / 65)


def test_all_gpus_that_train_are_counted():
    one, four = hardware_of("jobs-l4x1"), hardware_of("jobs-l4x4")
    hours = [estimate_hours(params(**devices), machine, TINY, 4e12).about for machine, devices in ((one, {}), (four, {}))]
    assert hours[0] is not None and hours[1] is not None
    assert hours[0] - START_HOURS == pytest.approx(4 * (hours[1] - START_HOURS))
    assert estimate_hours(params(devices=1), four, TINY, 4e12).about == hours[0]


@pytest.mark.parametrize("name", HARDWARE)
def test_every_machine_has_a_figure(name: str):
    assert estimate_hours(params(), HARDWARE[name], TINY, 1e6).about


def test_what_isnt_known_is_named():
    assert "size of org/base isn't known" in estimate_hours(params(), T4, None, 1e6).why
    assert "size of the data org/rows" in estimate_hours(params(), T4, TINY, None).why


def test_its_assumptions_are_one_line():
    why = estimate_hours(params(peft=True, epochs=3), T4, TINY, 4e6).why
    assert why.startswith("1 M tokens (4 bytes of data each) x 3 epochs, 11 k weights with LoRA, at 30% of 8.1 TFLOPS (")
    assert "\n" not in why and "to start" in why


def test_here_nobody_is_asked(hub: HubDouble, tmp_path: Path):
    file = tmp_path / "train.jsonl"
    file.write_text("x" * 4000)
    here = hours_here(params(model="smollm2-135m"), T4, [SplitFile("train", file)])
    assert here.about is not None and here.why.startswith("1 k tokens")
    assert hours_here(params(), T4, [SplitFile("train", file)]).why.endswith("at the start the hub is asked")
    assert hub.requests == []


def test_at_the_start_the_hub_tells_the_models_and_the_datas_size(hub: HubDouble):
    card = "---\ndataset_info:\n  splits:\n  - name: train\n    num_bytes: 4000000\n---\n"
    hub.add_repo("model", "org/base", {"config.json": json.dumps(TINY)})
    hub.add_repo("dataset", "org/rows", {"README.md": card, "data/train-0.parquet": b"x"})
    hub.add_user("jo")
    hours = hours_by_hub(open_api("hf_jo"), params(), T4, ())
    assert hours.about is not None and hours.why.startswith("1 M tokens")


@pytest.mark.parametrize(
    ("files", "split", "size"),
    [
        ({"train.jsonl": "x" * 100, "test.jsonl": "y"}, "train", 100),
        ({"data/train.parquet": "x" * 100}, "train", 200),
        ({"train.jsonl": "x" * 100}, "train[:10]", None),
        ({"a/train.jsonl": "x", "b/train.jsonl": "y"}, "train", None),
        ({"README.md": "---\ndataset_info: [1, {splits: 5}]\n---\n"}, "train", None),
    ],
)
def test_a_data_set_without_a_card_is_known_by_its_file_or_not_at_all(
    hub: HubDouble, files: dict[str, str], split: str, size: float | None
):
    hub.add_repo("dataset", "org/rows", files)
    assert bytes_on_hub(open_api(None), params(train_split=split)) == size


def bill(hours: Hours, max_hours: float | None) -> str:
    return Bill("jobs-t4-small", (), (), (), max_hours, hours).text().splitlines()[-1]


def test_the_bill_is_price_times_hours_capped_by_max_hours():
    assert bill(Hours(1.5, "this"), 2) == "would take: about 1.5 hours, about 0.60 USD; assumed: this"
    assert bill(Hours(10.0, "this"), 2) == (
        "would take: about 10 hours, but max_hours stops it after 2, about 0.80 USD; assumed: this"
    )
    assert bill(Hours(5000.0, "this"), None) == "would take: about 5,000 hours, about 2,000.00 USD; assumed: this"
    assert bill(Hours(None, "no size"), 2) == "would take: an unknown time: no size"
