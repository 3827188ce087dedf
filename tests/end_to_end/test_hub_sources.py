"""Models and data sets on the hub, taken by the real worker: what works trains, what can't is refused with nothing spent."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_double import HubDouble
from hub_double.nobody import Nobody
from huggingface_hub import ModelCard

SPLITS = {"train.jsonl": "train.jsonl", "validation.jsonl": "valid.jsonl"}
CARD = "---\nlicense: other\nlicense_name: tiny-licence\nlicense_link: LICENSE.md\n---\n# Tiny\n"
CODE = """
import os
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
Path(os.environ["CODE_RAN"]).touch()
class StrangeConfig(LlamaConfig):
    model_type = "strange"
class StrangeModel(LlamaForCausalLM):
    config_class = StrangeConfig
"""


@dataclass(frozen=True)
class Ended:
    """A worker that has come to its end.  seconds: how long it took."""

    exit_code: int
    said: str
    seconds: float


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the worker as a process, with parameters as keywords and variables of its environment."""
    monkeypatch.setenv("CODE_RAN", str(tmp_path / "code-ran"))

    def run(variables: dict[str, str] | None = None, entry: str = "train", **params: Any) -> Ended:
        file = tmp_path / "params.json"
        given = {"model": "acme/tiny", "data_path": "acme/rows", "project_name": "my-run", "trainer": "sft", "peft": True}
        file.write_text(json.dumps({**given, "chat_template": "tokenizer", **params}))
        started = time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "autotrain.trainers.clm", entry, "--training_config", str(file)],
            cwd=tmp_path,
            env={**os.environ, **(variables or {})},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        return Ended(ended.returncode, ended.stderr + ended.stdout, time.monotonic() - started)

    return run


def files_of(model: Path) -> dict[str, str | bytes]:
    return {path.name: path.read_bytes() for path in model.iterdir()} | {"README.md": CARD}


def refused(ended: Ended, folder: Path) -> str:
    """What was said, of a worker that refused as it should."""
    assert ended.exit_code == 2, ended.said
    assert "Traceback" not in ended.said
    assert not (folder / "my-run").exists()
    return " ".join(ended.said.split())


@pytest.fixture
def rows(hub: HubDouble, chat_folder: Path) -> None:
    """The data set acme/rows."""
    files = {name: (chat_folder / file).read_bytes() for name, file in SPLITS.items()}
    hub.add_repo("dataset", "acme/rows", files=files)


@pytest.mark.usefixtures("rows")
def test_a_private_model_and_a_data_set_of_the_hub_are_trained_on_and_named_in_the_card(
    hub: HubDouble, worker, tmp_path: Path, tiny_model: Path
):
    hub.add_user("acme", token="hf_TokenOfAcme")
    hub.add_repo("model", "acme/tiny", files=files_of(tiny_model), private=True)
    ended = worker({"HF_TOKEN": "hf_TokenOfAcme"}, valid_split="validation", num_sample_prompts=1)
    assert ended.exit_code == 0, ended.said
    card = ModelCard.load(tmp_path / "my-run" / "README.md")
    fields = card.data.to_dict()
    assert (fields["base_model"], fields["datasets"]) == ("acme/tiny", ["acme/rows"])
    assert fields["license_name"] == "tiny-licence"
    assert fields["license_link"] == "https://huggingface.co/acme/tiny/blob/main/LICENSE.md"
    assert [result.metric_type for result in card.data.eval_results or ()] == ["loss"]
    assert "(loss_curve.svg)" in card.text and (tmp_path / "my-run" / "loss_curve.svg").is_file()
    card.validate()
    for file in (tmp_path / "my-run").rglob("*"):
        assert not file.is_file() or b"hf_TokenOfAcme" not in file.read_bytes(), file


@pytest.mark.usefixtures("rows")
def test_a_model_that_cannot_be_seen_is_refused_before_anything_is_spent(hub: HubDouble, worker, tmp_path: Path):
    said = refused(worker(model="acme/none"), tmp_path)
    assert "no model acme/none on the hub that everyone may see" in said
    assert not hub.sent("GET", "rows")  # the data weren't touched


def test_issue_365_a_gated_model_and_a_gated_data_set_say_where_to_accept_their_terms(
    hub: HubDouble, worker, tmp_path: Path, tiny_model: Path, chat_folder: Path
):
    hub.add_user("nils", token="hf_TokenOfNils")
    hub.add_repo("model", "acme/tiny", files=files_of(tiny_model), gated="manual")
    hub.add_repo("dataset", "acme/rows", files={"train.jsonl": (chat_folder / "train.jsonl").read_bytes()}, gated="manual")
    token = {"HF_TOKEN": "hf_TokenOfNils"}
    said = refused(worker(token), tmp_path)
    assert (
        "gated, and nils, whose token is used, has no access: accept its terms at https://huggingface.co/acme/tiny" in said
    )
    hub.grant("model", "acme/tiny", "nils")
    said = refused(worker(token), tmp_path)
    assert "accept its terms at https://huggingface.co/datasets/acme/rows" in said
    assert not hub.sent("GET", "model.safetensors")  # no weights for data that can't be had


def test_a_wrong_token_is_named_and_not_shown(hub: HubDouble, worker, tmp_path: Path, tiny_model: Path):
    hub.add_repo("model", "acme/tiny", files=files_of(tiny_model))
    said = refused(worker({"HF_TOKEN": "hf_MistypedToken"}), tmp_path)
    assert "the hub doesn't accept the token (401" in said
    assert "hf_MistypedToken" not in said


def test_a_data_set_that_is_not_there_is_refused(hub: HubDouble, worker, tmp_path: Path, tiny_model: Path):
    hub.add_repo("model", "acme/tiny", files=files_of(tiny_model))
    assert "no data set acme/rows on the hub" in refused(worker(), tmp_path)


def test_without_a_network_a_hub_id_is_answered_after_few_tries(hub: HubDouble, nobody: Nobody, worker, tmp_path: Path):
    ended = worker({"HF_ENDPOINT": nobody.url})
    assert f"acme/tiny is not on this machine, and the hub at {nobody.url} can't be reached" in refused(ended, tmp_path)
    assert nobody.num_tries <= 3
    assert ended.seconds < 120


def test_without_a_network_a_data_set_is_answered_after_few_tries_too(
    hub: HubDouble, nobody: Nobody, worker, tmp_path: Path, tiny_model: Path
):
    """The client's own retries alone took 25 s."""
    ended = worker({"HF_ENDPOINT": nobody.url}, model=str(tiny_model))
    assert "can't be reached" in refused(ended, tmp_path)
    assert nobody.num_tries <= 3
    assert ended.seconds < 120


@pytest.mark.usefixtures("rows")
def test_what_was_downloaded_once_is_trained_on_without_a_network(hub: HubDouble, worker, tmp_path: Path, tiny_model: Path):
    hub.add_repo("model", "acme/tiny", files=files_of(tiny_model))
    assert worker(project_name="first").exit_code == 0
    ended = worker({"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert ended.exit_code == 0, ended.said
    assert "acme/tiny is taken from this machine's cache" in ended.said


@pytest.mark.usefixtures("rows")
def test_a_download_that_is_cut_is_taken_up_again(hub: HubDouble, worker, tmp_path: Path, tiny_model: Path):
    hub.add_repo("model", "acme/tiny", files=files_of(tiny_model))
    hub.fail("GET", "model.safetensors", status="cut")
    ended = worker()
    assert ended.exit_code == 0, ended.said


@pytest.mark.usefixtures("rows")
def test_defect_19_code_of_a_hub_model_runs_only_where_the_user_allows_it_by_name(
    hub: HubDouble, worker, tmp_path: Path, tiny_model: Path
):
    config = json.loads((tiny_model / "config.json").read_text())
    classes = {"AutoConfig": "strange.StrangeConfig", "AutoModelForCausalLM": "strange.StrangeModel"}
    config |= {"model_type": "strange", "architectures": ["StrangeModel"], "auto_map": classes}
    hub.add_repo("model", "acme/tiny", files=files_of(tiny_model) | {"config.json": json.dumps(config), "strange.py": CODE})
    said = refused(worker(), tmp_path)
    assert "acme/tiny needs code that comes with it" in said
    assert "set trust_remote_code: true, or the environment variable ALLOW_REMOTE_CODE=1" in said
    assert not (tmp_path / "code-ran").exists()
    ended = worker(trust_remote_code=True)
    assert ended.exit_code == 0, ended.said
    assert (tmp_path / "code-ran").exists()
    ended = worker({"ALLOW_REMOTE_CODE": "1"}, project_name="again", peft=False)
    assert ended.exit_code == 0, ended.said
    assert "trust_remote_code=True" in (tmp_path / "again" / "README.md").read_text()
    assert (tmp_path / "again" / "strange.py").is_file()


@pytest.mark.usefixtures("rows")
def test_weights_that_are_no_safetensors_are_taken_on_request_only(hub: HubDouble, worker, tmp_path: Path, tiny_model: Path):
    from safetensors.torch import load_file

    files = files_of(tiny_model)
    del files["model.safetensors"]
    torch.save(load_file(tiny_model / "model.safetensors"), tmp_path / "pytorch_model.bin")
    files["pytorch_model.bin"] = (tmp_path / "pytorch_model.bin").read_bytes()
    hub.add_repo("model", "acme/tiny", files=files)
    said = refused(worker(), tmp_path)
    assert "acme/tiny has no safetensors, only pickled weights" in said
    assert not hub.sent("GET", "pytorch_model")
    ended = worker(use_safetensors=False)
    assert ended.exit_code == 0, ended.said
