"""Reward models on disk: transformers and PEFT load them with their head, merged or not, and score as in training."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from autotrain.base_models import ModelSource, is_reward_model
from autotrain.cli import main
from autotrain.data.tokenizer import load_tokenizer
from autotrain.errors import DataError, ModelError
from autotrain.models.load import load_model
from autotrain.models.precision import FP32
from autotrain.models.score import ScorePolicy, choose_pad
from autotrain.output.card import write_card
from autotrain.output.generate import load_for_generation
from autotrain.output.merge import merge_adapter
from autotrain.output.save import save_result
from autotrain.output.score import load_scorer, open_answers, score_file
from autotrain.trainers.clm.params import LLMTrainingParams

TURNS = (
    [{"role": "user", "content": "hello, who are you?"}, {"role": "assistant", "content": "the lazy dog"}],
    [{"role": "user", "content": "hello, who are you?"}, {"role": "assistant", "content": "fox"}],
    [{"role": "user", "content": "a b c"}, {"role": "assistant", "content": "the quick brown fox jumps over"}],
)


class Reward:
    """A "trained" reward model, its weights moved at random, saved to `folder`."""

    def __init__(self, base: Path, folder: Path, *, needs_chat: bool = True, **fields: Any) -> None:
        template = {"chat_template": "chatml"} if needs_chat else {"chat_template": "none"}
        self.params = LLMTrainingParams(
            **{"model": str(base), "project_name": folder.name, "trainer": "reward", **template, **fields}
        )
        self.source, self.folder = ModelSource(str(base)), folder
        self.loaded = load_tokenizer(self.params, self.source, needs_chat=needs_chat)
        self.pad = choose_pad(self.loaded.tokenizer, self.loaded.stop_token_ids)
        policy = load_model(
            self.params, self.source, vocabulary_size=len(self.loaded.tokenizer), new_token_ids=self.loaded.new_token_ids,
            device=torch.device("cpu"), precision=FP32, quantization=None, seed=1, head="score", pad_token_id=self.pad,
        )  # fmt: skip
        assert isinstance(policy, ScorePolicy)
        self.policy = policy
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for parameter in policy.parameters():
                if parameter.requires_grad:
                    parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
        policy.eval()
        folder.mkdir(exist_ok=True)
        self.params.save(folder)
        save_result(policy, self.loaded, self.params, self.source, folder)

    @torch.no_grad()
    def scores(self) -> torch.Tensor:
        """Each dialogue alone, through the model as it is in memory."""
        tokenizer, found = self.loaded.tokenizer, []
        with self.policy.stock_attention():
            for turns in TURNS:
                ids = tokenizer(tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
                found.append(self.policy.model(input_ids=torch.tensor([ids])).logits[0, 0])
        return torch.stack(found)


@torch.no_grad()
def scores_of(model: Any, folder: Path) -> torch.Tensor:
    """As a user scores: a padded batch, with the tokenizer of the folder."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer.apply_chat_template(turns, tokenize=False) for turns in TURNS]
    batch = tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
    assert int(batch["attention_mask"].sum()) < batch["attention_mask"].numel()  # something is padded
    return model(**batch).logits[:, 0]


@pytest.fixture
def make(base: Path, tmp_path: Path) -> Callable[..., Reward]:
    return lambda **fields: Reward(base, tmp_path / "judge", **fields)


def test_a_whole_reward_model_loads_with_one_score_and_its_pad_token(make: Callable[..., Reward]):
    reward = make(peft=False)
    model = AutoModelForSequenceClassification.from_pretrained(reward.folder)
    assert model.config.num_labels == 1 and model.config.pad_token_id == reward.pad
    assert model.config.pad_token_id not in reward.loaded.stop_token_ids
    torch.testing.assert_close(scores_of(model, reward.folder), reward.scores(), rtol=1e-4, atol=1e-4)
    assert not (reward.folder / "generation_config.json").exists()


def test_an_adapter_carries_its_head_and_peft_loads_it(make: Callable[..., Reward], base: Path):
    reward = make(peft=True)
    config = json.loads((reward.folder / "adapter_config.json").read_text())
    assert config["task_type"] == "SEQ_CLS" and config["modules_to_save"] == ["score"]
    tokenizer = AutoTokenizer.from_pretrained(reward.folder)
    model = AutoPeftModelForSequenceClassification.from_pretrained(reward.folder, num_labels=1)
    model.config.pad_token_id = tokenizer.pad_token_id
    torch.testing.assert_close(scores_of(model, reward.folder), reward.scores(), rtol=1e-4, atol=1e-4)
    plain = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, pad_token_id=reward.pad)
    plain.resize_token_embeddings(len(tokenizer))
    model = PeftModel.from_pretrained(plain, reward.folder)
    torch.testing.assert_close(scores_of(model, reward.folder), reward.scores(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("in_place", [True, False])
def test_defect_9_merging_keeps_the_score_head(make: Callable[..., Reward], tmp_path: Path, in_place: bool):
    """AutoTrain loaded the base as a language model, lost the head and deleted the adapter."""
    reward = make(peft=True)
    output = reward.folder if in_place else tmp_path / "merged"
    merge_adapter(reward.source, reward.folder, output)
    model = AutoModelForSequenceClassification.from_pretrained(output)
    assert model.config.num_labels == 1 and model.config.pad_token_id == reward.pad
    torch.testing.assert_close(scores_of(model, output), reward.scores(), rtol=1e-3, atol=1e-3)
    kept = output / "adapter" if in_place else reward.folder
    assert (kept / "adapter_model.safetensors").is_file()


def test_a_16_bit_base_stays_in_16_bits(base_at: Callable[..., Path], tmp_path: Path):
    reward = Reward(base_at(tmp_path / "half", dtype=torch.bfloat16), tmp_path / "judge", peft=True)
    merge_adapter(reward.source, reward.folder, tmp_path / "merged")
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged", dtype="auto").dtype == torch.bfloat16


# Scoring a file


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("peft", [True, False])
def test_pairs_dialogues_and_answers_get_the_scores_of_training(make: Callable[..., Reward], tmp_path: Path, peft: bool):
    reward = make(peft=peft)
    expected = reward.scores()
    scorer = load_scorer(str(reward.folder))
    dialogues = scorer.score([{"messages": turns} for turns in TURNS])
    assert torch.tensor([line["score"] for line in dialogues]) == pytest.approx(
        expected, rel=0.1, abs=0.1
    )  # bfloat16, perhaps
    found = torch.tensor([line["score"] for line in dialogues])
    answers = scorer.score([{"prompt": turns[0]["content"], "answer": turns[1]["content"]} for turns in TURNS])
    pairs = scorer.score([{"id": 7, "prompt": [TURNS[0][0]], "chosen": TURNS[0][1:], "rejected": TURNS[1][1:]}])
    torch.testing.assert_close(torch.tensor([line["score"] for line in answers]), found)
    torch.testing.assert_close(torch.tensor([pairs[0]["chosen_score"], pairs[0]["rejected_score"]]), found[:2])
    assert pairs[0]["id"] == 7 and answers[0]["prompt"] == "hello, who are you?"


def test_rows_that_cannot_be_scored_say_why_and_the_others_keep_their_places(make: Callable[..., Reward], tmp_path: Path):
    reward = make(peft=False)
    path = write(
        tmp_path / "pairs.jsonl",
        {"prompt": "hello", "chosen": "a b", "rejected": "a b"},
        {"prompt": "hello", "chosen": "a b", "rejected": "c"},
        {"prompt": "hello", "chosen": "", "rejected": "c"},
        {"prompt": "hello", "chosen": "the lazy dog " * 100, "rejected": "c"},
    )
    with path.open("a") as file:
        file.write("{broken\n")
    lines = list(score_file(str(reward.folder), path))
    assert ["chosen_score" in line for line in lines] == [False, True, False, False, False]
    assert ["problem" in line for line in lines] == [True, False, True, True, True]
    assert [line.get("row") for line in lines][2] == f"{path}:3"
    assert "tokens" in lines[3]["problem"]


def test_a_text_that_was_cut_is_not_scored(make: Callable[..., Reward], tmp_path: Path):
    lines = load_scorer(str(make(peft=False).folder)).score(
        [{"messages": [TURNS[0][0], {**TURNS[0][1], "content": "fox " * 400}]}]
    )
    assert "score" not in lines[0] and "256 tokens" in lines[0]["problem"]


def test_plain_texts_are_scored_with_their_end(base: Path, tmp_path: Path):
    reward = Reward(base, tmp_path / "judge", needs_chat=False, peft=False)
    tokenizer = reward.loaded.tokenizer
    ids = [*tokenizer("hello fox")["input_ids"], tokenizer.eos_token_id]
    with torch.no_grad(), reward.policy.stock_attention():
        expected = reward.policy.model(input_ids=torch.tensor([ids])).logits.item()
    lines = load_scorer(str(reward.folder)).score(
        [{"prompt": "hello", "answer": " fox"}, {"prompt": "hello", "answer": "x"}]
    )
    assert lines[0]["score"] == pytest.approx(expected, rel=0.1, abs=0.1)


def test_columns_that_mean_nothing_are_refused_before_a_model_is_loaded(tmp_path: Path):
    with pytest.raises(DataError, match=r"columns: question, reply.*Expected prompt and answer"):
        open_answers(write(tmp_path / "rows.jsonl", {"question": "a", "reply": "b"}))


def test_a_language_model_gives_no_scores_and_a_reward_model_no_answers(
    make: Callable[..., Reward], base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    reward = make(peft=True)
    with pytest.raises(ModelError, match="no reward model"):
        load_scorer(str(base))
    with pytest.raises(ModelError, match="autotrain score"):
        load_for_generation(str(reward.folder))
    assert is_reward_model(reward.folder) and not is_reward_model(base)
    for command in (["chat", str(reward.folder)], ["generate", str(reward.folder), "--prompt", "hello"]):
        assert main(command) == 2
        assert "autotrain score" in capsys.readouterr().err
    data = write(tmp_path / "rows.jsonl", {"prompt": "a", "answer": "b"})
    assert main(["score", str(base), "--data", str(data)]) == 2
    assert "no reward model" in capsys.readouterr().err
    assert main(["score", str(reward.folder), "--data", str(tmp_path / "none.jsonl")]) == 2


def test_the_command_writes_a_line_for_each_row(make: Callable[..., Reward], tmp_path: Path):
    reward = make(peft=True)
    write(tmp_path / "rows.jsonl", *({"messages": turns} for turns in TURNS))
    result = subprocess.run(
        [sys.executable, "-m", "autotrain", "score", str(reward.folder), "--data", "rows.jsonl", "--output", "scores.jsonl"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [line["messages"] for line in lines] == list(map(list, TURNS))
    assert all(isinstance(line["score"], float) for line in lines)
    assert "3 of 3 rows" in result.stderr and result.stdout == ""


# The card


@pytest.mark.parametrize("peft", [True, False])
@pytest.mark.parametrize("needs_chat", [True, False])
def test_the_lines_of_the_card_score(base: Path, tmp_path: Path, peft: bool, needs_chat: bool):
    reward = Reward(base, tmp_path / "judge", needs_chat=needs_chat, peft=peft)
    evaluation = {"accuracy": 0.75, "accuracy_interval": {"low": 0.7, "high": 0.8}, "calibration_error": None}
    run = {"resolved": {"chat_template": "chatml" if needs_chat else None}, "evaluation": evaluation}
    text = write_card(reward.folder, reward.params, run).read_text()
    assert "pipeline_tag: text-classification" in text and "reward modelling" in text
    assert "autotrain score judge --data" in text and "autotrain chat" not in text
    assert "| accuracy interval, low | 0.7000 |" in text and "calibration" not in text
    code = text.split("```python\n")[1].split("```")[0]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    float(result.stdout.strip().splitlines()[-1])
