"""Merging: right to rounding, checked before anything is replaced, and the adapter is never lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from autotrain.base_models import ModelSource
from autotrain.errors import ModelError, RunFolderError, TrainingError
from autotrain.output import merge
from autotrain.output.bases import read_adapter
from autotrain.output.merge import merge_adapter
from autotrain.output.save import save_result

Train = Callable[..., Any]


def save(trained: Any, folder: Path) -> Path:
    save_result(trained.policy, trained.loaded, trained.params, trained.source, folder)
    return folder


@torch.no_grad()
def logits_of(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    return AutoModelForCausalLM.from_pretrained(folder)(input_ids=ids).logits


def test_the_merged_model_gives_the_logits_of_base_and_adapter(
    base: Path, train: Train, ids: torch.Tensor, tmp_path: Path
) -> None:
    trained = train(base)
    merge_adapter(trained.source, save(trained, tmp_path / "run"), tmp_path / "merged")
    torch.testing.assert_close(logits_of(tmp_path / "merged", ids), trained.logits(ids), atol=1e-4, rtol=1e-4)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "merged")) == 292
    assert not list(tmp_path.glob(".tmp-*"))


def test_merging_a_zero_adapter_is_identity(base: Path, train: Train, tmp_path: Path) -> None:
    """The trap: merging into a live 4-bit model changes its loss though LoRA's B is zero."""
    trained = train(base, moved_by=0.0)
    merge_adapter(trained.source, save(trained, tmp_path / "run"), tmp_path / "merged")
    ids = torch.arange(2, 40)[None]
    assert torch.equal(logits_of(tmp_path / "merged", ids)[..., :290], logits_of(base, ids))


def test_a_4_bit_run_is_merged_into_the_base_in_its_own_precision(
    base: Path, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live model is never touched: the base is read from its folder."""
    trained = train(base)
    folder = save(trained, tmp_path / "run")
    seen = []
    load = merge.bases.load_base
    monkeypatch.setattr(merge.bases, "load_base", lambda source, **rest: seen.append(source.path) or load(source, **rest))
    merge_adapter(trained.source, folder, tmp_path / "merged")
    assert seen[0] == str(base)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto").dtype == torch.float32


def test_a_16_bit_base_stays_in_16_bits(base_at: Callable[..., Path], train: Train, tmp_path: Path) -> None:
    trained = train(base_at(tmp_path / "base", dtype=torch.bfloat16), moved_by=0.02)
    merge_adapter(trained.source, save(trained, tmp_path / "run"), tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto").dtype == torch.bfloat16


@pytest.mark.parametrize("fields", [{"use_dora": True}, {"use_rslora": True}])
def test_dora_and_rslora_merge_too(base: Path, train: Train, ids: torch.Tensor, tmp_path: Path, fields: dict) -> None:
    trained = train(base, **fields)
    merge_adapter(trained.source, save(trained, tmp_path / "run"), tmp_path / "merged")
    torch.testing.assert_close(logits_of(tmp_path / "merged", ids), trained.logits(ids), atol=1e-3, rtol=1e-3)


def test_issues_487_512_790_a_padded_vocabulary_is_kept(base_at: Callable[..., Path], train: Train, tmp_path: Path) -> None:
    """Today's AutoTrain shrinks 151936 rows to the tokenizer's 151665, and the merge then finds sizes that differ."""
    trained = train(base_at(tmp_path / "base", rows=384))
    merge_adapter(trained.source, save(trained, tmp_path / "run"), tmp_path / "merged")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert model.config.vocab_size == model.get_input_embeddings().weight.shape[0] == 384


def test_issues_487_512_790_an_adapter_with_shrunken_embeddings_still_merges(
    base_at: Callable[..., Path], tmp_path: Path
) -> None:
    folder = base_at(tmp_path / "base", rows=384)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(291)
    adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], r=2))
    adapted.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    merge_adapter(ModelSource(str(folder)), tmp_path / "adapter", tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged").get_input_embeddings().weight.shape[0] == 384


def test_the_vocabulary_is_padded_to_the_multiple_asked_for(base: Path, train: Train, tmp_path: Path) -> None:
    trained = train(base)
    merge_adapter(trained.source, save(trained, tmp_path / "run"), tmp_path / "merged", pad_to_multiple_of=64)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged").config.vocab_size == 320  # 292 -> 5 * 64


def test_merging_in_place_leaves_a_plain_model_and_keeps_the_adapter_apart(
    base: Path, train: Train, ids: torch.Tensor, tmp_path: Path
) -> None:
    trained = train(base)
    folder = save(trained, tmp_path / "run")
    merge_adapter(trained.source, folder, folder)
    assert not (folder / "adapter_config.json").exists()
    torch.testing.assert_close(logits_of(folder, ids), trained.logits(ids), atol=1e-4, rtol=1e-4)
    assert read_adapter(folder / "adapter").token_ids == (290, 291)
    merge_adapter(trained.source, folder / "adapter", tmp_path / "again")  # the kept adapter is whole


def test_merging_in_place_twice_after_an_interruption_gives_the_same(base: Path, train: Train, tmp_path: Path) -> None:
    trained = train(base)
    folder = save(trained, tmp_path / "run")
    merge_adapter(trained.source, folder, folder)
    before = (folder / "model.safetensors").read_bytes()
    save(trained, folder)
    merge_adapter(trained.source, folder, folder)
    assert (folder / "model.safetensors").read_bytes() == before
    assert not (folder / "adapter_config.json").exists()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("broken", ["weights", "read back", "disk"])
def test_defect_9_a_failed_merge_never_loses_the_adapter(
    base: Path, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Today's AutoTrain deletes the adapter after a merge that went wrong, and reports success."""
    trained = train(base)
    folder = save(trained, tmp_path / "run")
    before = snapshot(folder)
    right = merge._merge_weights

    def disturbed(*arguments: Any) -> Any:
        model = right(*arguments)
        with torch.no_grad():
            model.model.layers[1].mlp.down_proj.weight += 0.05
        return model

    def no_space(*_: Any) -> None:
        raise OSError("no space left")

    if broken == "weights":
        monkeypatch.setattr(merge, "_merge_weights", disturbed)
    elif broken == "read back":
        write = merge._write

        def write_then_spoil(model: Any, *rest: Any) -> None:
            with torch.no_grad():
                model.model.norm.weight *= 1 + 0.01 * torch.rand(32)
            write(model, *rest)

        monkeypatch.setattr(merge, "_write", write_then_spoil)
    else:
        monkeypatch.setattr(merge, "sync_files", no_space)
    with pytest.raises((TrainingError, OSError)):
        merge_adapter(trained.source, folder, folder)
    assert snapshot(folder) == before


def test_an_adapter_with_infinite_weights_is_refused(base: Path, train: Train, tmp_path: Path) -> None:
    trained = train(base)
    with torch.no_grad():
        next(p for n, p in trained.policy.named_parameters() if "lora_B" in n).fill_(float("inf"))
    folder = save(trained, tmp_path / "run")
    with pytest.raises(TrainingError):
        merge_adapter(trained.source, folder, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_an_occupied_output_folder_is_refused(base: Path, train: Train, tmp_path: Path) -> None:
    trained = train(base)
    folder = save(trained, tmp_path / "run")
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="isn't an empty folder"):
        merge_adapter(trained.source, folder, tmp_path / "merged")


def test_a_folder_without_adapter_and_an_adapter_of_another_kind_are_refused(
    base: Path, train: Train, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        merge_adapter(ModelSource(str(base)), base, tmp_path / "merged")
    folder = save(train(base), tmp_path / "run")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "task_type": "TOKEN_CLS"}))
    with pytest.raises(ModelError, match="TOKEN_CLS"):
        merge_adapter(ModelSource(str(base)), folder, tmp_path / "merged")
