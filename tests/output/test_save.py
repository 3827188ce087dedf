"""What a run leaves loads elsewhere, with the same numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from autotrain.output.save import save_result


def test_an_adapter_loads_with_peft_in_three_lines_and_gives_the_same_logits(
    base: Path, train: Callable[..., Any], ids: torch.Tensor, tmp_path: Path
) -> None:
    trained = train(base)
    folder = tmp_path / "my-run"
    save_result(trained.policy, trained.loaded, trained.params, trained.source, folder)

    model = AutoPeftModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    logits = model(input_ids=ids).logits

    assert len(trained.loaded.new_token_ids) == 2  # their rows were trained, and travel with the adapter
    torch.testing.assert_close(logits, trained.logits(ids), atol=1e-5, rtol=1e-5)
    assert tokenizer.chat_template == trained.loaded.tokenizer.chat_template


def test_an_adapter_holds_no_whole_embedding_matrix(base: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    trained = train(base)
    save_result(trained.policy, trained.loaded, trained.params, trained.source, tmp_path / "run")
    weights = load_file(tmp_path / "run" / "adapter_model.safetensors")
    assert max(tensor.shape[0] for tensor in weights.values()) < 290
    assert any("trainable_tokens" in name for name in weights)


def test_the_untied_head_keeps_its_trained_rows(
    base_at: Callable[..., Path], train: Callable[..., Any], ids: torch.Tensor, tmp_path: Path
) -> None:
    trained = train(base_at(tmp_path / "base", tied=False))
    save_result(trained.policy, trained.loaded, trained.params, trained.source, tmp_path / "run")
    logits = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "run")(input_ids=ids).logits
    torch.testing.assert_close(logits, trained.logits(ids), atol=1e-5, rtol=1e-5)


def test_a_full_model_loads_with_transformers_in_three_lines_and_gives_the_same_logits(
    base: Path, train: Callable[..., Any], ids: torch.Tensor, tmp_path: Path
) -> None:
    trained = train(base, peft=False)
    folder = tmp_path / "my-run"
    save_result(trained.policy, trained.loaded, trained.params, trained.source, folder)

    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    logits = model(input_ids=ids).logits

    torch.testing.assert_close(logits, trained.logits(ids), atol=1e-5, rtol=1e-5)
    assert len(tokenizer) == 292


def test_32_bit_masters_of_a_16_bit_base_are_saved_in_16_bits(
    base_at: Callable[..., Path], train: Callable[..., Any], tmp_path: Path
) -> None:
    trained = train(base_at(tmp_path / "base", dtype=torch.bfloat16), peft=False)
    assert trained.policy.pretrained.dtype == torch.float32
    save_result(trained.policy, trained.loaded, trained.params, trained.source, tmp_path / "run")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run", dtype="auto")
    assert model.dtype == torch.bfloat16
    assert json.loads((tmp_path / "run" / "config.json").read_text())["tie_word_embeddings"]
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_generation_stops_where_the_template_ends_a_turn(base: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    trained = train(base)
    save_result(trained.policy, trained.loaded, trained.params, trained.source, tmp_path / "run")
    end_of_turn = trained.loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = GenerationConfig.from_pretrained(tmp_path / "run")
    assert config.eos_token_id[0] == end_of_turn
    assert 1 in config.eos_token_id  # the base's own end still counts


@pytest.mark.parametrize("peft", [True, False])
def test_others_may_read_the_weights_where_they_may_read_new_files(
    base: Path, train: Callable[..., Any], tmp_path: Path, peft: bool
) -> None:
    trained = train(base, peft=peft)
    save_result(trained.policy, trained.loaded, trained.params, trained.source, tmp_path / "run")
    (tmp_path / "new").touch()
    assert {file.stat().st_mode for file in (tmp_path / "run").iterdir()} == {(tmp_path / "new").stat().st_mode}


def test_padding_side_reaches_the_saved_tokenizer(base: Path, train: Callable[..., Any], tmp_path: Path) -> None:
    trained = train(base, padding="left")
    save_result(trained.policy, trained.loaded, trained.params, trained.source, tmp_path / "run")
    assert AutoTokenizer.from_pretrained(tmp_path / "run").padding_side == "left"


def test_a_local_base_is_named_by_its_absolute_folder(
    base: Path, train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained = train("./base")
    save_result(trained.policy, trained.loaded, trained.params, trained.source, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(base.resolve())
    assert config["target_modules"] == sorted(config["target_modules"])


def test_a_failed_save_leaves_nothing_half_written(
    base: Path, train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train(base)
    folder = tmp_path / "run"
    save_result(trained.policy, trained.loaded, trained.params, trained.source, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(type(trained.loaded.tokenizer), "save_pretrained", fail)
    with pytest.raises(OSError, match="disk full"):
        save_result(train(base, moved_by=0.5).policy, trained.loaded, trained.params, trained.source, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
