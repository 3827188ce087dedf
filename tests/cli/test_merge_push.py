"""`autotrain tools merge-llm-adapter --push-to-hub`: the merged model goes to a repository of its own, with a card."""

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

TOKEN = "hf_AnnsOwnSecretToken"


@pytest.fixture
def run_of_an_adapter(folder: Path, tiny_model: Path) -> Path:
    """The folder of a run with an adapter on a hub model that lies here, with what a card is made of."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    run = folder / "my-run"
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules="all-linear")
    get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), lora).save_pretrained(run)
    params = {
        "model": str(tiny_model),
        "project_name": "my-run",
        "trainer": "sft",
        "data_path": "/x/rows.jsonl",
        "peft": True,
    }
    (run / "training_params.json").write_text(json.dumps(params | {"peft": True}))
    (run / "run.json").write_text(json.dumps({"results": {"train_loss_last": 1.25}}))
    (run / "loss_curve.svg").write_text("<svg/>")
    return run


@pytest.fixture
def merge(autotrain, hub, tmp_path: Path, run_of_an_adapter: Path):
    """Merges the run's adapter as a user types it, as ann."""
    hub.add_user("ann", token=TOKEN, orgs={"acme": "write"})
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "huggingface"), "HF_HUB_DISABLE_XET": "1"}

    def run(*options: str, **environment: str):
        tool = ("tools", "merge-llm-adapter", "--adapter-path", "my-run", "--push-to-hub")
        done = autotrain(*tool, *options, **settings | {"HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"} | environment)
        assert TOKEN not in done.stdout + done.stderr and "Traceback" not in done.stderr
        return done

    return run


def test_item_6_the_merged_model_goes_to_the_named_repository_with_a_card_and_not_over_the_adapters(
    merge, hub, folder: Path, tmp_path: Path
):
    """Regression: AutoTrain pushed to the repository named as the adapter's, without the token (1.4)."""
    hub.add_repo("model", "ann/my-run", files={"adapter_config.json": "{}"}, private=True)
    done = merge("--output-folder", "whole", "--repo", "acme/whole")
    assert done.returncode == 0, done.stderr
    assert f"pushed: {hub.url}/acme/whole" in done.stderr
    there = hub.files("model", "acme/whole")
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md", "loss_curve.svg"} <= set(there)
    assert there["model.safetensors"] == (folder / "whole" / "model.safetensors").read_bytes()
    card = ModelCard(there["README.md"].decode())
    assert card.data.library_name == "transformers" and "# whole" in card.text and "1.2500" in card.text
    assert 'folder = "acme/whole"' in card.text and "/x/" not in card.text
    assert str(tmp_path).encode() not in b"".join(there.values())
    assert hub.repositories["model", "acme/whole"].private
    assert "adapter_config.json" in hub.files("model", "ann/my-run") and hub.places_with(TOKEN) == []


def test_without_a_folder_and_a_name_it_lies_beside_and_is_named_as_that(merge, hub, folder: Path):
    """As AutoTrain allowed it; a push that fails then loses nothing."""
    hub.fail("POST", "/commit/", status=403)
    done = merge()
    assert done.returncode == 3, done.stderr
    assert "merged, but not pushed: pushing to ann/my-run-merged: the hub forbids it" in done.stderr
    assert f"complete in {folder / 'my-run-merged'}" in done.stderr
    assert "autotrain push my-run-merged --repo ann/my-run-merged" in done.stderr
    assert (folder / "my-run-merged" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        (("--repo", "others/x"), {}, "who is not in others; possible names: ann, acme"),
        (("--repo", "a/b/c"), {}, "--repo: must be NAME/REPO"),
        ((), {"HF_TOKEN": ""}, "there is no token; set HF_TOKEN"),
        ((), {"HF_TOKEN": "hf_MistypedToken"}, "doesn't accept the token"),
        (("--output-folder", "my-run"), {}, "exists and isn't an empty folder"),
    ],
)
def test_what_cannot_be_pushed_is_refused_before_anything_is_merged(merge, hub, folder: Path, options, environment, said):
    done = merge(*options, **environment)
    assert done.returncode == 2 and said in done.stderr
    assert not (folder / "my-run-merged").exists() and hub.repositories == {}


def test_a_token_on_the_command_line_is_used_and_warned_of(merge, hub):
    done = merge("--token", TOKEN, HF_TOKEN="")
    assert done.returncode == 0, done.stderr
    assert "--token can be read by others" in done.stderr
    assert hub.exists("model", "ann/my-run-merged")
