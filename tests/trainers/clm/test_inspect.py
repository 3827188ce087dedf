"""`inspect` as data: one question a line, an answer for every data set, usable or not."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_SECONDS = 500
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask(tiny_model: Path) -> Iterator[Ask]:
    """Ask a running worker about a data path."""
    command = [sys.executable, "-P", "-m", "autotrain.trainers.clm", "inspect", "--serve"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    assert process.stdin and process.stdout

    def question(what: str, data: Path, trainer: str = "sft", **fields: Any) -> dict[str, Any]:
        params = {"model": str(tiny_model), "project_name": "x", "data_path": str(data), "trainer": trainer, **fields}
        process.stdin.write(json.dumps({"id": 7, "what": what, "params": params, "rows": 2}) + "\n")
        answer = json.loads(process.stdout.readline())
        assert answer["id"] == 7
        return answer

    yield question
    process.stdin.close()
    assert process.wait(TIMEOUT_SECONDS) == 0


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


CHAT = {"messages": [{"role": "user", "content": "What is red?"}, {"role": "assistant", "content": "A colour."}]}
PAIR = {"prompt": "Say yes", "chosen": "yes", "rejected": "no"}


def test_a_conversation_is_shown_by_turns_and_by_tokens(ask: Ask, tmp_path: Path):
    seen = ask("preview", write(tmp_path / "train.jsonl", CHAT, CHAT, CHAT))["answer"]
    assert seen["problem"] is None
    assert seen["mapping"] == {"text_column": "messages"}
    turns = seen["rows"][0]["parts"][0]["turns"]
    assert [(turn["role"], turn["text"]) for turn in turns] == [("user", "What is red?"), ("assistant", "A colour.")]
    pieces = seen["tokens"][0]["parts"][0]["pieces"]
    assert "".join(text for text, is_trained in pieces if is_trained).startswith("A colour.")
    assert "What is red?" in "".join(text for text, is_trained in pieces if not is_trained)


def test_every_column_that_is_used_is_named(ask: Ask, tmp_path: Path):
    alpaca = {"instruction": "Add.", "input": "1 and 2", "output": "3", "source": "me"}
    without = {name: value for name, value in alpaca.items() if name != "input"}
    rows = {
        "alpaca": ([alpaca] * 3, "sft", ["instruction", "input", "output"]),
        "no-input": ([without] * 3, "sft", ["instruction", "output"]),
        "tools": ([{**CHAT, "tools": "[]"}] * 3, "sft", ["messages", "tools"]),
        "bare": ([CHAT["messages"]] * 3, "sft", []),
        "pairs": ([{**PAIR, "margin": 1.0}] * 3, "reward", ["prompt", "chosen", "rejected", "margin"]),
    }
    for name, (given, trainer, used) in rows.items():
        seen = ask("preview", write(tmp_path / f"{name}.jsonl", *given), trainer)["answer"]
        assert (seen["problem"], seen["used"]) == (None, used), name
    shown = ask("preview", tmp_path / "alpaca.jsonl")["answer"]["rows"][0]["parts"]
    assert "1 and 2" in json.dumps(shown)


def test_of_a_pair_each_part_has_its_tokens(ask: Ask, tmp_path: Path):
    seen = ask("preview", write(tmp_path / "train.jsonl", PAIR, {**PAIR, "rejected": "yes"}), "dpo")["answer"]
    parts = seen["tokens"][0]["parts"]
    assert [part["name"] for part in parts] == ["prompt", "chosen", "rejected"]
    assert "".join(text for text, _ in parts[0]["pieces"]) == "Say yes"
    assert not any(is_trained for _, is_trained in parts[0]["pieces"])
    assert all(is_trained for _, is_trained in parts[2]["pieces"])
    assert seen["counts"]["left_out"] == {"identical answers": 1}
    assert seen["left_out"][0][1].endswith("train.jsonl:2: chosen and rejected are the same")


def test_columns_of_other_names_are_suggested_and_used(ask: Ask, tmp_path: Path):
    file = write(tmp_path / "train.csv", "No,问题,答案\n1,天空是什么颜色？,蓝色。\n")
    seen = ask("preview", file)["answer"]
    assert seen["problem"] is None
    assert seen["suggested"] == {"prompt_text_column": "问题", "text_column": "答案"}
    assert seen["rows"][0]["parts"][0]["turns"] == [
        {"role": "prompt", "text": "天空是什么颜色？"},
        {"role": "text", "text": "蓝色。"},
    ]


def test_plain_questions_and_answers_could_be_conversations(ask: Ask, tmp_path: Path):
    plain = write(tmp_path / "train.jsonl", {"prompt": "What is red?", "completion": "A colour."})
    seen = ask("preview", plain)["answer"]
    assert (seen["is_conversation"], seen["could_chat"]) == (False, True)
    talk = ask("preview", plain, chat_template="tokenizer")["answer"]
    assert (talk["is_conversation"], talk["could_chat"]) == (True, False)
    assert not ask("preview", write(tmp_path / "text.jsonl", {"text": "a tale"}))["answer"]["could_chat"]
    assert ask("preview", write(tmp_path / "pair.jsonl", PAIR), "dpo")["answer"]["could_chat"]


def test_what_cannot_be_used_is_shown_all_the_same(ask: Ask, tmp_path: Path):
    seen = ask("preview", write(tmp_path / "train.jsonl", PAIR), "dpo", text_column="best")["answer"]
    assert seen["columns"] == ["prompt", "chosen", "rejected"]
    assert seen["cells"] == [PAIR]
    assert seen["problem"]["stage"] == "columns"
    assert "no column 'best'" in seen["problem"]["text"]
    assert seen["fits"] == ["dpo"]


def test_one_broken_line_is_counted_not_fatal(ask: Ask, tmp_path: Path):
    file = write(tmp_path / "train.jsonl", CHAT, '{"messages": [\n', CHAT)
    seen = ask("preview", file)["answer"]
    assert (seen["bad_rows"], seen["counts"]["rows_out"]) == (1, 2)
    assert "train.jsonl:2" in seen["left_out"][0][1]
    assert "skip_bad_rows" in ask("measure", file)["problem"]


def test_an_empty_file_and_an_unknown_model_say_at_which_stage(ask: Ask, tmp_path: Path):
    assert ask("preview", write(tmp_path / "train.jsonl", "\n"))["answer"]["problem"]["stage"] == "read"
    good = write(tmp_path / "other.jsonl", CHAT)
    assert ask("preview", good, model=str(tmp_path / "none"))["answer"]["problem"]["stage"] == "model"
    assert ask("preview", good, model=str(tmp_path / "none"))["answer"]["rows"]


def test_amounts_are_those_of_the_whole_data(ask: Ask, tmp_path: Path):
    file = write(tmp_path / "train.jsonl", *[CHAT] * 300)
    told = ask("measure", file, epochs=2, batch_size=2, gradient_accumulation=5)["answer"]
    assert (told["num_rows"], told["steps_per_epoch"], told["total_steps"]) == (300, 30, 60)  # 300 / (2 * 5), twice
    assert told["num_tokens"] > told["num_trained"] > 0
    assert 0 < told["memory"]["peak_bytes"] < told["memory"]["total_bytes"]
    assert told["seconds"] > 0
    assert told["num_trainable"] == told["num_parameters"]


@pytest.mark.parametrize(("trainer", "rows"), [("reward", [PAIR] * 3), ("orpo", [PAIR] * 3)])
def test_an_adapter_is_what_is_counted_as_trained(ask: Ask, tmp_path: Path, trainer: str, rows: list[Any]):
    told = ask("measure", write(tmp_path / "train.jsonl", *rows), trainer, peft=True)["answer"]
    assert 0 < told["num_trainable"] < told["num_parameters"]


def test_a_wrong_setting_is_a_problem_not_a_crash(ask: Ask, tmp_path: Path):
    file = write(tmp_path / "train.jsonl", CHAT)
    assert "target_modules" in ask("measure", file, peft=True, target_modules="nowhere")["problem"]
    assert "must be a number" in ask("measure", file, lr="fast")["problem"]
