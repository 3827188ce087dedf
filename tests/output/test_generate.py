"""What can be named to generate with, how it answers, and how the base's answer is had beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autotrain.errors import DataError, ModelError, RunFolderError
from autotrain.models.precision import FP32
from autotrain.output.generate import AnswerSettings, answer, load_for_generation
from autotrain.output.merge import merge_adapter
from autotrain.output.prompts import read_prompts
from autotrain.output.save import save_result

Train = Callable[..., Any]
SHORT = AnswerSettings(max_new_tokens=8)


def save_run(trained: Any, folder: Path, template: str | None = "chatml") -> Path:
    save_result(trained.policy, trained.loaded, trained.params, trained.source, folder)
    trained.params.save(folder)
    (folder / "run.json").write_text(json.dumps({"resolved": {"chat_template": template}}))
    return folder


@pytest.fixture(autouse=True)
def in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near ties of a random model would otherwise hang on 16-bit rounding."""
    monkeypatch.setattr("autotrain.models.precision._fast_precision", lambda device: FP32)


def test_an_adapter_a_merged_run_and_a_full_model_give_one_answer(base: Path, train: Train, tmp_path: Path) -> None:
    folder = save_run(train(base), tmp_path / "my-run")
    loaded = load_for_generation(str(folder))
    with_adapter = answer(loaded, "hello", SHORT)
    merge_adapter(train(base).source, folder, tmp_path / "merged")
    merged = answer(load_for_generation(str(tmp_path / "merged")), "hello", SHORT)
    assert loaded.is_chat
    assert with_adapter == merged


def test_the_base_answers_from_the_same_weights_with_the_adapter_off(base: Path, train: Train, tmp_path: Path) -> None:
    loaded = load_for_generation(str(save_run(train(base), tmp_path / "my-run")), base=True)
    assert loaded.base_model is None  # one model in memory
    tuned = answer(loaded, "hello", SHORT)
    before = answer(loaded, "hello", SHORT, of_base=True)
    assert before != tuned
    assert answer(loaded, "hello", SHORT) == tuned  # switched on again


def test_a_full_run_loads_its_base_beside_it(base: Path, train: Train, tmp_path: Path) -> None:
    loaded = load_for_generation(str(save_run(train(base, peft=False), tmp_path / "my-run")), base=True)
    assert answer(loaded, "hello", SHORT, of_base=True) != answer(loaded, "hello", SHORT)


def test_a_plain_model_folder_has_no_base(base: Path) -> None:
    with pytest.raises(ModelError, match="--base"):
        load_for_generation(str(base), base=True)


def test_a_run_on_plain_text_goes_on_with_the_text(base: Path, train: Train, tmp_path: Path) -> None:
    trained = train(base, needs_chat=False, chat_template=None, trainer="default")
    folder = save_run(trained, tmp_path / "my-run", template=None)
    loaded = load_for_generation(str(folder))
    ids = loaded.tokenizer("hello", return_tensors="pt")["input_ids"]
    with trained.policy.stock_attention(), torch.no_grad():
        expected = trained.policy.model(input_ids=ids).logits[0, -1].argmax()
    first = answer(loaded, "hello", AnswerSettings(max_new_tokens=1))
    assert not loaded.is_chat
    assert first == loaded.tokenizer.decode([expected], skip_special_tokens=True)


def test_generation_stops_at_the_end_of_the_turn(base: Path, train: Train, tmp_path: Path) -> None:
    trained = train(base)
    end = trained.loaded.eos_token_id
    with torch.no_grad():  # make the end of the turn the likeliest token, always
        rows = next(p for n, p in trained.policy.named_parameters() if "trainable_tokens_delta" in n)
        rows[:] = 0
    loaded = load_for_generation(str(save_run(trained, tmp_path / "my-run")))
    loaded.model.get_base_model().lm_head.register_forward_hook(
        lambda module, inputs, logits: logits.index_fill(-1, torch.tensor([end]), 1e4)
    )
    assert answer(loaded, "hello", AnswerSettings(max_new_tokens=50)) == ""


def test_streamed_pieces_make_up_the_answer(base: Path) -> None:
    loaded = load_for_generation(str(base))
    pieces: list[str] = []
    whole = answer(loaded, "hello", SHORT, on_text=pieces.append)
    assert "".join(pieces) == whole


def test_temperature_samples_by_the_seed(base: Path) -> None:
    loaded = load_for_generation(str(base))
    hot = AnswerSettings(max_new_tokens=12, temperature=1.5, top_p=0.95)
    torch.manual_seed(1)
    first = answer(loaded, "hello", hot)
    torch.manual_seed(1)
    assert answer(loaded, "hello", hot) == first
    assert len({answer(loaded, "hello", hot) for _ in range(5)}) > 1


def test_an_unfinished_run_says_how_to_go_on(base: Path, train: Train, tmp_path: Path) -> None:
    train(base).params.save(tmp_path / "my-run")
    with pytest.raises(RunFolderError, match="--resume"):
        load_for_generation(str(tmp_path / "my-run"))


def test_roles_that_the_template_refuses_are_named(base: Path, train: Train, tmp_path: Path) -> None:
    loaded = load_for_generation(str(save_run(train(base), tmp_path / "my-run")))
    loaded.tokenizer.chat_template = "{{ raise_exception('no system here') }}"
    with pytest.raises(DataError, match=r"roles: system, user.*no system here"):
        answer(loaded, [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}], SHORT)


def test_prompts_are_read_from_lines_columns_and_conversations(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("one\n\ntwo\n")
    (tmp_path / "p.csv").write_text('id,prompt\n1,"with, comma"\n')
    (tmp_path / "p.jsonl").write_text(
        '{"text": "plain"}\n'
        '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "reference"}]}\n'
        '[{"role": "user", "content": "bare"}]\n'
        '{"conversations": [{"from": "human", "value": "q"}]}\n'
    )
    assert read_prompts(tmp_path / "p.txt") == ["one", "two"]
    assert read_prompts(tmp_path / "p.csv") == ["with, comma"]
    plain, asked, bare, shared = read_prompts(tmp_path / "p.jsonl")
    assert plain == "plain"
    assert asked == [{"role": "user", "content": "q"}]  # the reference answer is never shown
    assert bare == [{"role": "user", "content": "bare"}]
    assert shared == [{"role": "user", "content": "q"}]


def test_prompts_without_a_known_column_are_refused_by_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "a"}\n{"question": "b"}\n')
    with pytest.raises(DataError, match=r"p\.jsonl:2: .*found: question"):
        read_prompts(path)
