"""What is on the hub, and may be read with this token, is known before anything is spent; what isn't, is explained."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_double import HubDouble
from hub_double.nobody import Nobody

from autotrain.base_models import ModelSource, find_model
from autotrain.errors import DataError, ModelError
from autotrain.hub import look
from autotrain.hub.licence import Licence
from autotrain.hub.look import check_base, check_sources, licence_on_hub, look_at_data_set, look_at_model, offline, reaching
from autotrain.trainers.clm.params import LLMTrainingParams

MODEL = {"config.json": "{}", "model.safetensors": b"weights"}
CARD = "---\nlicense: apache-2.0\n---\n"


def params(tmp_path: Path, **fields: Any) -> LLMTrainingParams:
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n')
    return LLMTrainingParams(**{"data_path": str(tmp_path), **fields})


def use_token(monkeypatch: pytest.MonkeyPatch, hub: HubDouble, name: str = "nils", **account: Any) -> None:
    hub.add_user(name, token=f"hf_{name}", **account)
    monkeypatch.setenv("HF_TOKEN", f"hf_{name}")


def test_a_public_model_is_looked_at_with_one_request(hub: HubDouble):
    hub.add_repo("model", "acme/tiny", files={**MODEL, "README.md": CARD})
    check_base(ModelSource("acme/tiny"))
    seen = look_at_model("acme/tiny")
    assert seen is not None and set(seen.files) >= {"config.json", "model.safetensors"}
    assert licence_on_hub("acme/tiny") == Licence("apache-2.0")
    assert len(hub.sent("GET", "/api/models/acme/tiny")) == 1


def test_a_model_that_nobody_sees_is_explained_without_a_token(hub: HubDouble):
    hub.add_repo("model", "nils/tiny", files=MODEL, private=True)
    for name in ("nils/tiny", "acme/none"):
        with pytest.raises(ModelError, match=rf"no model {name} on the hub that everyone may see.*HF_TOKEN or hub.token"):
            look_at_model(name)


def test_a_model_that_a_token_does_not_see_names_the_tokens_owner(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    hub.add_repo("model", "anna/tiny", files=MODEL, private=True)
    use_token(monkeypatch, hub)
    with pytest.raises(ModelError, match=r"no model anna/tiny on the hub that nils, whose token is used, may see"):
        look_at_model("anna/tiny")


def test_a_private_model_is_seen_with_its_owners_token(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    use_token(monkeypatch, hub)
    hub.add_repo("model", "nils/tiny", files=MODEL, private=True)
    assert look_at_model("nils/tiny") is not None


def test_a_wrong_token_is_named_as_the_cause(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    hub.add_repo("model", "acme/tiny", files=MODEL)
    monkeypatch.setenv("HF_TOKEN", "hf_mistyped1")
    with pytest.raises(ModelError, match=r"doesn't accept the token \(401.*mistyped, revoked or expired") as caught:
        look_at_model("acme/tiny")
    assert "hf_mistyped1" not in str(caught.value)


def test_issue_365_a_gated_model_says_where_its_terms_are_accepted(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    hub.add_repo("model", "acme/gated", files={**MODEL, "README.md": CARD}, gated="manual")
    page = "https://huggingface.co/acme/gated"
    with pytest.raises(ModelError, match=rf"gated: log in and accept its terms at {page}, then set HF_TOKEN"):
        look_at_model("acme/gated")
    use_token(monkeypatch, hub)
    with pytest.raises(
        ModelError, match=rf"gated, and nils, whose token is used, has no access: accept its terms at {page}"
    ):
        look_at_model("acme/gated")
    hub.grant("model", "acme/gated", "nils")
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    hub.add_user("nils", token="hf_other")
    assert look_at_model("acme/gated") is not None


def test_a_fine_grained_token_is_told_which_permission_it_lacks(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    hub.add_repo("model", "acme/gated", files=MODEL, gated="auto")
    use_token(monkeypatch, hub, role="fineGrained")
    hub.grant("model", "acme/gated", "nils")
    with pytest.raises(ModelError, match="fine-grained, so it also needs read access to gated repositories"):
        look_at_model("acme/gated")


def test_a_gated_data_set_is_refused_though_its_card_is_open(hub: HubDouble):
    hub.add_repo("dataset", "acme/rows", files={"README.md": "# Rows", "train.jsonl": "{}"}, gated="auto")
    with pytest.raises(DataError, match=r"accept its terms at https://huggingface.co/datasets/acme/rows"):
        look_at_data_set("acme/rows")


def test_a_missing_data_set_is_explained_with_local_names(hub: HubDouble):
    with pytest.raises(DataError, match=r"'acme/rwos' is no local file or folder, and no data set .*; did you mean rows\?"):
        look_at_data_set("acme/rwos", "; did you mean rows?")


def wait_for_those_left_behind() -> None:
    """Threads that wait for a hub after it was given up."""
    for thread in threading.enumerate():
        if thread.name.startswith("look at "):
            thread.join(120)
            assert not thread.is_alive()


def test_what_was_refused_is_soon_asked_again_and_what_was_seen_isnt(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    """The page's processes last: terms are accepted, and a network comes back, while they do."""
    hub.add_repo("model", "acme/gated", files=MODEL, gated="manual")
    use_token(monkeypatch, hub)
    for _ in range(2):
        with pytest.raises(ModelError, match="accept its terms"):
            look_at_model("acme/gated")
    assert len(hub.sent("GET", "/api/models/acme/gated")) == 1
    hub.grant("model", "acme/gated", "nils")
    later = time.monotonic() + 21
    monkeypatch.setattr("autotrain.hub.look.time", SimpleNamespace(monotonic=lambda: later, sleep=time.sleep))
    assert look_at_model("acme/gated") is not None
    later += 599
    assert look_at_model("acme/gated") is not None
    assert len(hub.sent("GET", "/api/models/acme/gated")) == 2


def test_a_slow_hub_is_given_up_soon(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("autotrain.hub.look.PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr("autotrain.hub.look._PAUSES_SECONDS", (0, 0))
    held = hub.fail("GET", "/api/models/", status="slow", seconds=120, times=None)
    try:
        with pytest.raises(ModelError, match=r"acme/tiny is not on this machine, and the hub .* didn't answer within"):
            look_at_model("acme/tiny")
        assert not held.over.is_set() and hub.requests
    finally:
        held.over.set()
        wait_for_those_left_behind()


def test_who_is_given_up_on_asks_no_other_hub(hub: HubDouble, nobody: Nobody, monkeypatch: pytest.MonkeyPatch):
    """What still waits for the one hub must not turn to the next one with the token of the first."""
    monkeypatch.setattr("autotrain.hub.look.PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr("autotrain.hub.look._PAUSES_SECONDS", (0, 0))
    held = hub.fail("GET", "/api/models/", status="slow", seconds=120, times=None)
    try:
        with pytest.raises(ModelError, match="didn't answer within"):
            look_at_model("acme/tiny")
        monkeypatch.setenv("HF_ENDPOINT", nobody.url)
        wait_for_those_left_behind()
        assert nobody.num_tries == 0
    finally:
        held.over.set()


def test_a_fault_that_passes_is_waited_for(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("autotrain.hub.look._PAUSES_SECONDS", (0.01, 0.01))
    hub.add_repo("model", "acme/tiny", files=MODEL)
    hub.fail("GET", "/api/models/", status=500, times=2)
    assert look_at_model("acme/tiny") is not None


@pytest.mark.parametrize(
    ("status", "said"), [(500, "fault of its own"), (429, "too many requests"), ("cut", "can't be reached")]
)
def test_a_fault_that_stays_is_named(hub: HubDouble, monkeypatch: pytest.MonkeyPatch, status: Any, said: str):
    monkeypatch.setattr("autotrain.hub.look._PAUSES_SECONDS", (0.01, 0.01))
    hub.fail("GET", "/api/models/", status=status, times=None)
    with pytest.raises(ModelError, match=said):
        look_at_model("acme/tiny")


def test_without_a_network_few_tries_are_made_and_none_after_ten_seconds(
    hub: HubDouble, nobody: Nobody, monkeypatch: pytest.MonkeyPatch
):
    assert sum(look._PAUSES_SECONDS) < look.PATIENCE_SECONDS < 10
    monkeypatch.setattr("autotrain.hub.look.PATIENCE_SECONDS", 120)  # a busy machine's tries take longer
    monkeypatch.setenv("HF_ENDPOINT", nobody.url)
    with pytest.raises(ModelError, match=r"acme/tiny is not on this machine, and the hub .* can't be reached"):
        look_at_model("acme/tiny")
    assert nobody.num_tries == 3


def cached(hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that was downloaded while the hub could be reached; it can't be reached any more."""
    from huggingface_hub import hf_hub_download

    hub.add_repo("model", "acme/tiny", files=MODEL)
    hf_hub_download("acme/tiny", "config.json", endpoint=hub.url)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return "acme/tiny"


def test_without_a_network_a_model_in_the_cache_is_used_and_libraries_do_not_ask(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch
):
    from huggingface_hub import constants

    name = cached(hub, monkeypatch)
    assert look_at_model(name) is None
    with reaching(name):
        assert constants.is_offline_mode()
    assert not constants.is_offline_mode()  # a push at the end must reach the hub


def test_offline_ends_where_it_began():
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    with pytest.raises(KeyError), offline():
        assert constants.is_offline_mode()
        raise KeyError
    assert before == constants.HF_HUB_OFFLINE


def test_a_variable_that_forbids_the_network_is_named(hub: HubDouble, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        look_at_model("acme/tiny")
    assert hub.requests == []


def test_pickled_weights_are_refused_before_they_are_downloaded(
    hub: HubDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    hub.add_repo("model", "acme/old", files={"config.json": "{}", "pytorch_model.bin": b"weights"})
    with pytest.raises(ModelError, match=r"acme/old has no safetensors.*use_safetensors: false.*ALLOW_PICKLE=1"):
        check_sources(params(tmp_path, model="acme/old"))
    check_sources(params(tmp_path, model="acme/old", use_safetensors=False))
    monkeypatch.setenv("ALLOW_PICKLE", "1")
    check_sources(params(tmp_path, model="acme/old"))
    assert not hub.sent("GET", "pytorch_model")


def test_pickled_weights_in_a_folder_are_refused_too(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"weights")
    with pytest.raises(ModelError, match="has no safetensors"):
        check_base(find_model(str(tmp_path)))
    check_base(find_model(str(tmp_path), takes_pickle=True))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    check_base(find_model(str(tmp_path)))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"adapter_config.json": "{}", "adapter_model.safetensors": b""}, "is a LoRA adapter.*merge-llm-adapter"),
        ({"model.Q4.gguf": b""}, r"hf download acme/it model.Q4.gguf"),
        ({"data.csv": "a"}, "has no config.json"),
    ],
)
def test_what_is_no_whole_model_is_refused_with_what_to_do(hub: HubDouble, files: dict[str, Any], said: str):
    hub.add_repo("model", "acme/it", files=files)
    with pytest.raises(ModelError, match=said):
        check_base(ModelSource("acme/it"))


def test_reference_and_data_set_are_looked_at_too(hub: HubDouble, tmp_path: Path):
    hub.add_repo("model", "acme/tiny", files=MODEL)
    with pytest.raises(ModelError, match="acme/none"):
        check_sources(params(tmp_path, model="acme/tiny", model_ref="acme/none"))
    with pytest.raises(DataError, match="acme/rows"):
        check_sources(params(tmp_path, model="acme/tiny", data_path="acme/rows"))


def test_a_name_that_is_none_is_an_answer_too(hub: HubDouble):
    with pytest.raises(ModelError, match="my model"):
        look_at_model("my model")


def test_for_what_is_local_the_hub_is_not_asked(hub: HubDouble, tmp_path: Path, tiny_model: Path):
    check_sources(params(tmp_path, model=str(tiny_model)))
    assert hub.requests == []
