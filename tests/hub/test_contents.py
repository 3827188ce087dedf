"""What of a run goes to the hub, and what never does."""

import json
from pathlib import Path

import pytest

from autotrain.errors import RunFolderError
from autotrain.hub.contents import may_go, uploads, without_place


def sent(folder: Path) -> dict[str, bytes]:
    return {
        file.path: file.content if isinstance(file.content, bytes) else file.content.read_bytes() for file in uploads(folder)
    }


def test_weights_tokenizer_card_metrics_curves_and_parameters_go_and_nothing_else(folder):
    assert sorted(sent(folder)) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "metrics.jsonl",
        "run.json",
        "runs/events.out.tfevents.1.host.1.0",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_params.json",
    ]


def test_defects_of_5_6_no_data_token_checkpoint_or_path_of_this_machine_is_in_what_goes(folder, tmp_path):
    """Regression: AutoTrain uploaded the whole folder, checkpoints and paths in it (5.6)."""
    everything = b"".join(sent(folder).values())
    assert str(tmp_path).encode() not in everything
    assert b"a row of the data" not in everything and b"/usr/lib" not in everything
    assert b"hf_" not in everything
    assert json.loads(sent(folder)["adapter_config.json"])["base_model_name_or_path"] == "tiny"
    assert (
        b"Trained on data/train.jsonl from tiny." in sent(folder)["README.md"] or b"from tiny" in sent(folder)["README.md"]
    )


def test_tokens_that_look_like_paths_stay_as_they_are(folder):
    assert json.loads(sent(folder)["tokenizer_config.json"]) == {"name_or_path": "tiny", "eos_token": "/home/"}


def test_a_base_that_everybody_can_name_is_named_so(folder, params, tmp_path):
    params(model="smollm2-135m").save(folder)
    assert json.loads(sent(folder)["adapter_config.json"])["base_model_name_or_path"] == "smollm2-135m"


def test_parameters_keep_what_the_user_had_set(folder):
    values = json.loads(sent(folder)["training_params.json"])
    assert values["data_path"] == "train.jsonl" and "data_path" in values["set_by_user"] and "token" not in values


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/ann/data/x.jsonl:3: bad", "x.jsonl:3: bad"),
        ("see /home/ann/x.csv, or ~/models/tiny", "see x.csv, or tiny"),
        (r"C:\Users\ann\x.csv", "x.csv"),
        ("https://huggingface.co/ann/my-run/tree/main", "https://huggingface.co/ann/my-run/tree/main"),
        ("meta-org/some-model and/or more", "meta-org/some-model and/or more"),
    ],
)
def test_of_a_path_its_last_part_is_left_and_addresses_are_no_paths(text: str, left: str):
    assert without_place(text) == left


@pytest.mark.parametrize(
    "name",
    [
        "train.jsonl",
        "checkpoints/checkpoint-4/optimizer.pt",
        "state.json",
        "train.log",
        ".lock",
        "hub.json",
        "a/config.json",
    ],
)
def test_what_isnt_on_the_list_stays(name: str):
    assert not may_go(name)


def test_a_run_without_a_model_is_refused_with_what_to_do(folder):
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"no finished model.*--resume"):
        uploads(folder)


def test_a_model_that_lacks_a_piece_is_refused(folder):
    for file in folder.glob("adapter*"):
        file.unlink()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "one.safetensors"}}))
    with pytest.raises(RunFolderError, match=r"lacks pieces of its model: one\.safetensors"):
        uploads(folder)


def test_a_merged_model_brings_its_adapter_along(folder):
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"w")
    (folder / "adapter").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).rename(folder / "adapter" / name)
    assert {"config.json", "model.safetensors", "adapter/adapter_config.json"} <= set(sent(folder))
    assert json.loads(sent(folder)["adapter/adapter_config.json"])["base_model_name_or_path"] == "tiny"


def test_code_that_the_model_needs_goes_with_it_and_no_other(folder):
    (folder / "config.json").write_text('{"auto_map": {"AutoModelForCausalLM": "strange.Model"}}')
    (folder / "model.safetensors").write_bytes(b"w")
    for name in ("strange.py", "layers.py", "mine.py"):
        (folder / name).write_text("from .layers import Layer\n")
    assert sent(folder)["strange.py"] == sent(folder)["layers.py"] == b"from .layers import Layer\n"
    assert "mine.py" not in sent(folder)


def test_the_folder_of_a_local_gguf_base_is_a_place_of_this_machine(folder, params, tmp_path):
    """The card's lines load such a base from its folder, here one that a link leads to."""
    (tmp_path / "models").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "models")
    params(model=str(tmp_path / "link" / "base.gguf")).save(folder)
    config = {"base_model_name_or_path": str(tmp_path / "models"), "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "README.md").write_text(f'base_folder = "{tmp_path}/link"  # of {tmp_path}/link/base.gguf\n')
    assert sent(folder)["README.md"] == b'base_folder = "link"  # of base.gguf\n'
    assert json.loads(sent(folder)["adapter_config.json"])["base_model_name_or_path"] == "models"


def test_a_name_that_only_goes_on_like_a_path_stays(folder, params):
    """Data in /data, as in many containers."""
    params(data_path="/data").save(folder)
    text = "Of acme/data, acme/database and https://huggingface.co/datasets/acme/data; trained on /data/train.jsonl.\n"
    (folder / "README.md").write_text(text)
    assert sent(folder)["README.md"].decode() == text.replace("on /data/", "on data/")
